package awslambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dispatch"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// failed classifies an Invoke that the API did not accept, or whose answer never came.
func failed(err error) dispatch.End {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return dispatch.End{Cause: scaler.Network, Detail: err.Error()}
	}
	return dispatch.End{Cause: apiCause(api.ErrorCode()), Detail: err.Error()}
}

// apiCause maps the service's error codes. Codes not listed are the service's or the payload's own trouble.
func apiCause(code string) scaler.Cause {
	switch code {
	case "TooManyRequestsException", "ThrottlingException", "EC2ThrottledException", "Throttling":
		return scaler.Throttled
	case "AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "InvalidSignatureException",
		"ExpiredTokenException", "IncompleteSignatureException", "MissingAuthenticationTokenException",
		"KMSAccessDeniedException", "EC2AccessDeniedException":
		return scaler.Denied
	case "ResourceNotFoundException":
		return scaler.NotFound
	}
	return scaler.Unknown
}

// ended reads the answer of an invocation that ran.
func ended(out *lambda.InvokeOutput) dispatch.End {
	end := dispatch.End{Usage: parseTail(aws.ToString(out.LogResult))}
	if out.FunctionError != nil {
		end.Cause, end.Detail = functionError(out.Payload)
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

// functionError classifies the error document that Lambda returns for a function that failed.
func functionError(payload []byte) (scaler.Cause, string) {
	var doc struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(payload, &doc); err != nil {
		return scaler.Crashed, fmt.Sprintf("function error without a document: %v", err)
	}
	detail := strings.TrimPrefix(doc.Type+": "+doc.Message, ": ")
	switch {
	case doc.Type == "Extension.Crash", doc.Type == "Extension.ExitError": // it had started
		return scaler.Crashed, detail
	case strings.HasPrefix(doc.Type, "Extension."), strings.HasPrefix(doc.Type, "Runtime.Invalid"),
		strings.HasPrefix(doc.Type, "Init"), doc.Type == "Runtime.Unknown":
		return scaler.InitFailed, detail
	}
	return scaler.Crashed, detail
}

// reportCause tells the reports of peers that could not serve from those that did their work.
func reportCause(r wire.Report) (scaler.Cause, string) {
	detail := string(r.Reason)
	if r.Detail != "" {
		detail += ": " + r.Detail
	}
	switch r.Reason {
	case wire.ReasonRelayUnreachable, wire.ReasonRelayLost:
		return scaler.Network, detail
	case wire.ReasonAppUnhealthy:
		return scaler.InitFailed, detail
	case wire.ReasonAppExited:
		return scaler.Crashed, detail
	case wire.ReasonRefused:
		return scaler.Unknown, detail
	}
	return "", detail
}
