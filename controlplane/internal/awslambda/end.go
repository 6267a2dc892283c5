package awslambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// failed classifies an Invoke that the API did not accept, or whose answer never came.
func failed(err error, call *progress) provider.End {
	end := provider.End{Detail: err.Error()}
	var throttled *types.TooManyRequestsException
	var api smithy.APIError
	switch {
	case errors.As(err, &throttled):
		end.Cause, end.NeverRan = throttleCause(throttled.Reason), true
	case errors.As(err, &api):
		end.Cause, end.NeverRan = apiCause(api.ErrorCode(), status(err)), true
	case !call.began.Load():
		// The SDK asked for no connection: it had no credentials to sign with.
		end.Cause, end.NeverRan = scaler.Denied, true
	default:
		end.Cause, end.NeverRan = scaler.Network, !call.connected.Load()
	}
	return end
}

// throttleCause maps Lambda's reason to the limit that was hit. A function's reserved concurrency limits both invocations at once and
// invocations a second.
func throttleCause(reason types.ThrottleReason) scaler.Cause {
	switch reason {
	case types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded,
		types.ThrottleReasonReservedFunctionInvocationRateLimitExceeded:
		return scaler.ThrottledReserved
	case types.ThrottleReasonConcurrentInvocationLimitExceeded:
		return scaler.ThrottledAccount
	case types.ThrottleReasonFunctionInvocationRateLimitExceeded, types.ThrottleReasonCallerRateLimitExceeded:
		return scaler.ThrottledRate
	}
	return scaler.Throttled
}

// apiCause maps the service's error codes to causes, and the answer's status where the code is not known. Anything else is Unknown: most
// likely a fault of the service.
func apiCause(code string, status int) scaler.Cause {
	switch code {
	case "ThrottlingException", "EC2ThrottledException", "Throttling":
		return scaler.Throttled
	case "AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "InvalidSignatureException",
		"ExpiredTokenException", "IncompleteSignatureException", "MissingAuthenticationTokenException",
		"KMSAccessDeniedException", "EC2AccessDeniedException":
		return scaler.Denied
	case "ResourceNotFoundException":
		return scaler.NotFound
	case "RequestTooLargeException", "RequestEntityTooLargeException":
		return scaler.TooLarge
	case "RecursiveInvocationException":
		return scaler.Recursive
	case "InvalidRuntimeException", "InvalidZipFileException", "EFSMountConnectivityException", "EFSMountFailureException",
		"EFSMountTimeoutException", "EFSIOException", "ENILimitReachedException", "SubnetIPAddressLimitReachedException",
		"InvalidSubnetIDException", "InvalidSecurityGroupIDException", "KMSDisabledException", "KMSInvalidStateException",
		"KMSNotFoundException", "SnapStartException", "SnapStartTimeoutException":
		return scaler.InitFailed
	}
	switch status {
	case http.StatusTooManyRequests:
		return scaler.Throttled
	case http.StatusUnauthorized, http.StatusForbidden:
		return scaler.Denied
	case http.StatusRequestEntityTooLarge:
		return scaler.TooLarge
	}
	return scaler.Unknown
}

// status is the HTTP status of an answer that is an error; 0 without one.
func status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// ended reads the answer of an invocation that ran.
func ended(out *lambda.InvokeOutput) provider.End {
	end := provider.End{Usage: parseTail(aws.ToString(out.LogResult))}
	if out.FunctionError != nil {
		end.Cause, end.Detail = functionError(out.Payload, *out.FunctionError == "Handled")
		return end
	}
	report, err := wire.DecodeReport(out.Payload)
	if err != nil {
		end.Cause = scaler.InitFailed
		end.Detail = fmt.Sprintf("the function's answer is not lambdapeer's report: is lambdapeer in the function's image? (%v)", err)
		return end
	}
	end.Report = &report
	end.Cause, end.Detail = reportCause(report)
	return end
}

// functionError classifies the error document of a function that failed. handled is true if the runtime says that the function
// answered so itself.
func functionError(payload []byte, handled bool) (scaler.Cause, string) {
	var doc struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(payload, &doc); err != nil {
		return scaler.Crashed, fmt.Sprintf("function error without a document: %v", err)
	}
	detail := strings.TrimPrefix(doc.Type+": "+doc.Message, ": ")
	switch {
	case doc.Type == "Sandbox.Timedout", doc.Type == "" && strings.Contains(doc.Message, "Task timed out after"):
		return scaler.TimedOut, detail
	case doc.Type == "LambdaDispatch.Untrusted":
		return scaler.Untrusted, detail
	case failsInit(doc.Type):
		return scaler.InitFailed, detail
	case handled, doc.Type != "" && !ofThePlatform(doc.Type):
		return scaler.FunctionError, detail
	}
	return scaler.Crashed, detail
}

// failsInit tells whether an error means that the function cannot start.
func failsInit(errorType string) bool {
	switch errorType {
	case "Runtime.Unknown", "Runtime.ImportModuleError", "Runtime.HandlerNotFound", "Runtime.MalformedHandlerName",
		"Runtime.UserCodeSyntaxError":
		return true
	case "Extension.Crash", "Extension.ExitError":
		return false
	}
	return strings.HasPrefix(errorType, "Extension.") || strings.HasPrefix(errorType, "Runtime.Invalid") ||
		strings.HasPrefix(errorType, "Init")
}

// ofThePlatform tells whether an error type is Lambda's own, and not the function's.
func ofThePlatform(errorType string) bool {
	return strings.HasPrefix(errorType, "Runtime.") || strings.HasPrefix(errorType, "Sandbox.") ||
		strings.HasPrefix(errorType, "Extension.")
}

// reportCause returns the cause of a peer that could not serve; empty for one that did its work. The text is the report's reason.
func reportCause(r wire.Report) (scaler.Cause, string) {
	detail := string(r.Reason)
	if r.Detail != "" {
		detail += ": " + r.Detail
	}
	switch r.Reason {
	case wire.ReasonRelayUnreachable, wire.ReasonRelayLost:
		return scaler.Network, detail
	case wire.ReasonAppUnhealthy:
		return scaler.AppUnhealthy, detail
	case wire.ReasonAppExited:
		return scaler.Crashed, detail
	case wire.ReasonRefused:
		return scaler.Unknown, detail
	}
	return "", detail
}
