package lambdalocal_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// Answers of AWS itself, as localstack has recorded them (tests/aws/services/lambda_/*.snapshot.json of localstack/localstack, 2022 to 2026).
func TestErrorsAreThoseOfAWS(t *testing.T) {
	t.Parallel()
	m := direct(t, func(f *lambdalocal.Function) {
		twoVersions(f)
		f.Versions[0].ProvisionedConcurrency = 1
	})
	const (
		functions   = "/2015-03-31/functions/"
		aliases     = functions + "web/aliases"
		provisioned = "/2019-09-30/functions/"
		urls        = "/2021-10-31/functions/"
		events      = "/2019-09-25/functions/"
	)
	long := strings.Repeat("a", 65)
	for _, tt := range []struct {
		call, body string
		status     int
		kind       string
		message    string // with ARN for the function's
	}{
		{"GET " + functions + long, "", 404, "ResourceNotFoundException", "Function not found: ARN of " + long},
		{"GET " + functions + "web?Qualifier=$latest", "", 404, "ResourceNotFoundException", "Function not found: ARN:$latest"},
		{"GET " + functions + "web?Qualifier=invalid!", "", 400, "ValidationException", "Value 'invalid!' at 'qualifier' failed to satisfy constraint"},
		{"GET " + functions + "web?Qualifier=" + strings.Repeat("a", 129), "", 400, "ValidationException", "Member must have length less than or equal to 128"},
		{"GET " + functions + "web:$LATEST?Qualifier=1", "", 400, "InvalidParameterValueException", "The derived qualifier from the function name does not match the specified qualifier."},
		{"GET " + functions + "nobody?Qualifier=$LATEST", "", 404, "ResourceNotFoundException", "Function not found: ARN of nobody:$LATEST"},
		{"POST " + functions + "nobody/invocations", "", 404, "ResourceNotFoundException", "Function not found: ARN of nobody:$LATEST"},
		{"POST " + functions + "web/invocations", "n\x87", 400, "InvalidRequestContentException", "Could not parse request body into json: Could not parse payload into json"},

		{"POST " + aliases, `{"Name":"x","FunctionVersion":"10"}`, 404, "ResourceNotFoundException", "Function not found: ARN:10"},
		{"POST " + aliases, `{"Name":"x","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"10":0.5}}}`, 404, "ResourceNotFoundException", "Function not found: ARN:10"},
		{
			"POST " + aliases, `{"Name":"x","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"1":0.5}}}`, 400, "InvalidParameterValueException",
			"Invalid function version 1. Function version 1 is already included in routing configuration.",
		},
		{
			"POST " + aliases, `{"Name":"x","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":0.5,"3":0.1}}}`, 400, "InvalidParameterValueException",
			"Number of items in AdditionalVersionWeights cannot be greater than 1",
		},
		{
			"POST " + aliases, `{"Name":"x","FunctionVersion":"$LATEST","RoutingConfig":{"AdditionalVersionWeights":{"1":0.5}}}`, 400, "InvalidParameterValueException",
			"$LATEST is not supported for an alias pointing to more than 1 version",
		},
		{
			"POST " + aliases, `{"Name":"x","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":2}}}`, 400, "ValidationException",
			"Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: [" +
				"Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]",
		},
		{
			"POST " + aliases, `{"Name":"x","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"$LATEST":0.5}}}`, 400, "ValidationException",
			"Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map keys must satisfy constraint",
		},
		{"POST " + aliases, `{"Name":"live","FunctionVersion":"1"}`, 409, "ResourceConflictException", "Alias already exists: ARN:live"},
		{"GET " + aliases + "/none", "", 404, "ResourceNotFoundException", "Cannot find alias arn: ARN:none"},
		{"PUT " + aliases + "/none", `{"Description":"x"}`, 404, "ResourceNotFoundException", "Alias not found: ARN:none"},
		{
			"PUT " + aliases + "/live", `{"RevisionId":"x"}`, 412, "PreconditionFailedException",
			"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
		},
		{"POST " + functions + "web/versions", `{"CodeSha256":"x"}`, 400, "InvalidParameterValueException", "CodeSHA256 (x) is different from current CodeSHA256 in $LATEST"},

		{
			"PUT " + functions + "web/code", strings.Repeat("x", 70167212), 413, "RequestEntityTooLargeException",
			"Request must be smaller than 70167211 bytes for the UpdateFunctionCode operation",
		},
		{
			"PUT " + functions + "web/code", `{"ZipFile":"` + strings.Repeat("x", (50<<20+3)/3*4) + `"}`, 413, "RequestEntityTooLargeException",
			"Zipped size must be smaller than 52428800 bytes",
		},

		{
			"GET " + provisioned + "web/provisioned-concurrency?Qualifier=2", "", 404, "ProvisionedConcurrencyConfigNotFoundException",
			"No Provisioned Concurrency Config found for this function",
		},
		{"GET " + provisioned + "nobody/provisioned-concurrency?Qualifier=none", "", 404, "ResourceNotFoundException", "Cannot find alias arn: ARN of nobody:none"},
		{"GET " + provisioned + "web/provisioned-concurrency?Qualifier=none", "", 404, "ResourceNotFoundException", "Cannot find alias arn: ARN:none"},
		{"GET " + provisioned + "web/provisioned-concurrency?Qualifier=10", "", 404, "ResourceNotFoundException", "Function not found: ARN:10"},
		{
			"GET " + provisioned + "web/provisioned-concurrency?Qualifier=$LATEST", "", 400, "InvalidParameterValueException",
			"The function resource provided must be an alias or a published version.",
		},
		{
			"DELETE " + provisioned + "web/provisioned-concurrency?Qualifier=$LATEST", "", 400, "InvalidParameterValueException",
			"The function resource provided must be an alias or a published version.",
		},
		{
			"PUT " + provisioned + "web/provisioned-concurrency?Qualifier=$LATEST", `{"ProvisionedConcurrentExecutions":1}`, 400, "InvalidParameterValueException",
			"Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
		},
		{
			"PUT " + provisioned + "web/provisioned-concurrency?Qualifier=1", `{"ProvisionedConcurrentExecutions":0}`, 400, "ValidationException",
			"Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 1",
		},

		{"GET " + urls + "nobody/url", "", 404, "ResourceNotFoundException", "The resource you requested does not exist."},
		{"GET " + urls + "web/url?Qualifier=none", "", 404, "ResourceNotFoundException", "The resource you requested does not exist."},
		{"GET " + urls + "web/url?Qualifier=$LATEST", "", 400, "ValidationException", "Value '$LATEST' at 'qualifier' failed to satisfy constraint"},
		{"GET " + urls + "web/url?Qualifier=1", "", 400, "ValidationException", "Value '1' at 'qualifier' failed to satisfy constraint"},
		{"GET " + urls + "nobody/urls", "", 404, "ResourceNotFoundException", "Function does not exist"},
		{"GET " + events + "nobody/event-invoke-config", "", 404, "ResourceNotFoundException", "The function ARN of nobody:$LATEST doesn't have an EventInvokeConfig"},
		{"GET " + events + "web/event-invoke-config?Qualifier=none", "", 404, "ResourceNotFoundException", "The function ARN:none doesn't have an EventInvokeConfig"},
	} {
		status, kind, message := m.error(tt.call, tt.body, nil)
		about := tt.call + " " + tt.body[:min(len(tt.body), 100)]
		require.Equal(t, tt.status, status, "%s: %s", about, message)
		require.Equal(t, tt.kind, kind, "%s: %s", about, message)
		want := strings.NewReplacer("ARN of ", strings.TrimSuffix(webARN, "web"), "ARN", webARN).Replace(tt.message)
		require.Contains(t, message, want, about)
	}
	// This one is of ex-aws/ex_aws, pull request 442.
	_, kind, message := m.error("POST "+functions+"web/invocations", "", http.Header{"X-Amz-Invocation-Type": {"dry_run"}})
	require.Equal(t, "ValidationException", kind)
	require.Contains(t, message, "Value 'dry_run' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set")
}

// error makes a call that fails.
func (m *machine) error(call, body string, header http.Header) (status int, kind, message string) {
	m.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	request, err := http.NewRequest(method, m.InvokeURL()+path, bytes.NewReader([]byte(body)))
	require.NoError(m.t, err)
	request.Header, request.Close = header.Clone(), true
	response, err := http.DefaultClient.Do(request)
	require.NoError(m.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(m.t, err)
	var says struct{ Message string }
	require.NoError(m.t, json.Unmarshal(text, &says), string(text))
	return response.StatusCode, response.Header.Get("X-Amzn-ErrorType"), says.Message
}
