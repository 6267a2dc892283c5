package lambdalocal_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

func TestWhatToolsReadFirstIsThere(t *testing.T) {
	t.Parallel()
	m := direct(t, func(f *lambdalocal.Function) { f.InvokeMode = lambdalocal.ResponseStream })
	ctx, web := context.Background(), aws.String("web")

	url, err := m.client.GetFunctionUrlConfig(ctx, &lambda.GetFunctionUrlConfigInput{FunctionName: web})
	require.NoError(t, err)
	require.Equal(t, types.InvokeModeResponseStream, url.InvokeMode)
	response, err := http.Get(aws.ToString(url.FunctionUrl) + "error")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusBadGateway, response.StatusCode, "the function is there, and fails")

	events, err := m.client.GetFunctionEventInvokeConfig(ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: web})
	require.NoError(t, err)
	require.EqualValues(t, 2, aws.ToInt32(events.MaximumRetryAttempts))
	tags, err := m.client.ListTags(ctx, &lambda.ListTagsInput{Resource: aws.String(webARN)})
	require.NoError(t, err)
	require.Empty(t, tags.Tags)
	_, err = m.client.GetFunctionCodeSigningConfig(ctx, &lambda.GetFunctionCodeSigningConfigInput{FunctionName: web})
	require.NoError(t, err)
	_, err = m.client.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: web})
	var none *types.ResourceNotFoundException
	require.ErrorAs(t, err, &none)

	nowhere := aws.String("dead")
	_, err = m.client.GetFunctionUrlConfig(ctx, &lambda.GetFunctionUrlConfigInput{FunctionName: web, Qualifier: nowhere})
	require.ErrorAs(t, err, &none)
	_, err = m.client.GetFunctionEventInvokeConfig(ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: web, Qualifier: nowhere})
	require.ErrorAs(t, err, &none)
}

func TestAFunctionWithoutAURLHasNone(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	_, err := m.client.GetFunctionUrlConfig(context.Background(), &lambda.GetFunctionUrlConfigInput{FunctionName: aws.String("web")})
	var none *types.ResourceNotFoundException
	require.ErrorAs(t, err, &none)
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", twoVersions)
	pages := lambda.NewListVersionsByFunctionPaginator(m.client, &lambda.ListVersionsByFunctionInput{FunctionName: aws.String("web"), MaxItems: aws.Int32(1)})
	var versions []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		require.NoError(t, err)
		require.Len(t, page.Versions, 1)
		versions = append(versions, aws.ToString(page.Versions[0].Version))
	}
	require.Equal(t, []string{"$LATEST", "1", "2"}, versions)
	_, err := m.client.ListFunctions(context.Background(), &lambda.ListFunctionsInput{MaxItems: aws.Int32(0)})
	require.ErrorContains(t, err, "ValidationException")
	require.ErrorContains(t, err, "maxItems")
}

// What the API reference rules out is refused before anything is looked up.
func TestReadsOutsideTheirConstraintsAreRefused(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", twoVersions)
	for path, want := range map[string]string{
		"/2021-10-31/functions/web/urls?MaxItems=51":                                     "less than or equal to 50",
		"/2019-09-30/functions/web/provisioned-concurrency?List=ALL&MaxItems=51":         "less than or equal to 50",
		"/2019-09-30/functions/web/provisioned-concurrency?List=SOME":                    "enum value set: [ALL]",
		"/2015-03-31/functions?FunctionVersion=1":                                        "enum value set: [ALL]",
		"/2015-03-31/functions/web/aliases?FunctionVersion=live":                         "at 'functionVersion'",
		"/2017-03-31/tags/web":                                                           "at 'resource'",
		"/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:web:live":       "not of a version or alias",
		"/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:web:a%20b": "at 'functionName'",
	} {
		require.Contains(t, m.refused(http.MethodGet, path, ""), want, path)
	}
	require.Contains(t, m.refused(http.MethodPost, "/2015-03-31/functions/web/aliases", `{"Name":"new"}`),
		"Value null at 'functionVersion' failed to satisfy constraint: Member must not be null")
}

// refused makes a call of the API that is answered with 400, and returns that answer.
func (m *machine) refused(method, path, body string) string {
	m.t.Helper()
	request, err := http.NewRequest(method, m.InvokeURL()+path, strings.NewReader(body))
	require.NoError(m.t, err)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	require.NoError(m.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(m.t, err)
	require.Equal(m.t, http.StatusBadRequest, response.StatusCode, path)
	return string(text)
}

func TestAliasesOfAVersionAreListed(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", twoVersions)
	for version, want := range map[string]int{"1": 1, "2": 2, "3": 0} {
		list, err := m.client.ListAliases(context.Background(), &lambda.ListAliasesInput{FunctionName: aws.String("web"), FunctionVersion: aws.String(version)})
		require.NoError(t, err)
		require.Len(t, list.Aliases, want, version)
	}
}

func TestFunctionsOfOthersAreRefusedAsLambdaDoes(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	for arn, kind := range map[string]string{
		"arn:aws:lambda:eu-west-1:000000000000:function:web": "ResourceNotFoundException",
		"arn:aws:lambda:us-east-1:999999999999:function:web": "AccessDeniedException",
		"999999999999:function:web":                          "AccessDeniedException",
	} {
		_, err := m.client.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String(arn)})
		require.ErrorContains(t, err, kind, arn)
	}
}
