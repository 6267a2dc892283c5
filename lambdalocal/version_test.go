package lambdalocal_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

func twoVersions(f *lambdalocal.Function) {
	f.Versions = []lambdalocal.Version{{Name: "1"}, {Name: "2", Env: map[string]string{"COLOUR": "blue"}}}
	f.Env["COLOUR"] = "red"
	f.Aliases = []lambdalocal.Alias{
		{Name: "live", Version: "1", Weights: map[string]float64{"2": 0.5}},
		{Name: "next", Version: "2"},
	}
}

// qualified invokes a version, and waits until its environment is frozen again, which is what the log's tail takes.
func (m *machine) qualified(qualifier string, o order) (*lambda.InvokeOutput, error) {
	return m.client.Invoke(context.Background(), &lambda.InvokeInput{
		FunctionName: aws.String("web"), Qualifier: aws.String(qualifier), Payload: payload(o), LogType: types.LogTypeTail,
	})
}

func TestVersionsHaveEnvironmentsOfTheirOwn(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", twoVersions)
	for _, test := range []struct{ qualifier, version, colour string }{
		{"$LATEST", "$LATEST", "red"}, {"1", "1", "red"}, {"2", "2", "blue"}, {"next", "2", "blue"}, {"1", "1", "red"},
	} {
		out, err := m.qualified(test.qualifier, order{Do: "environ"})
		require.NoError(t, err)
		require.Equal(t, test.version, aws.ToString(out.ExecutedVersion))
		var vars map[string]string
		require.NoError(t, json.Unmarshal(out.Payload, &vars))
		require.Equal(t, test.version, vars["AWS_LAMBDA_FUNCTION_VERSION"])
		require.Equal(t, test.colour, vars["COLOUR"])
	}
	served := map[string]int{}
	for _, e := range m.Environments() {
		served[e.Version] += e.Served
	}
	require.Equal(t, map[string]int{"$LATEST": 1, "1": 2, "2": 2}, served)
	require.Equal(t, 3, m.Counters("web").Cold)
}

// The function learns by which ARN it was invoked: with $LATEST only if the caller said so.
func TestTheLatestVersionIsNamedIfItWasAskedFor(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	for qualifier, want := range map[string]string{"": webARN, "$LATEST": webARN + ":$LATEST"} {
		in := &lambda.InvokeInput{FunctionName: aws.String("web"), Payload: payload(order{Do: "headers"})}
		described := &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("web")}
		if qualifier != "" {
			in.Qualifier, described.Qualifier = aws.String(qualifier), aws.String(qualifier)
		}
		out, err := m.client.Invoke(context.Background(), in)
		require.NoError(t, err)
		var headers map[string][]string
		require.NoError(t, json.Unmarshal(out.Payload, &headers))
		require.Equal(t, []string{want}, headers["Lambda-Runtime-Invoked-Function-Arn"])
		c, err := m.client.GetFunctionConfiguration(context.Background(), described)
		require.NoError(t, err)
		require.Equal(t, want, aws.ToString(c.FunctionArn))
	}
}

func TestAnUnknownQualifierIsNotFound(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", twoVersions)
	for _, qualifier := range []string{"3", "dead"} {
		_, err := m.qualified(qualifier, order{})
		var notFound *types.ResourceNotFoundException
		require.ErrorAs(t, err, &notFound)
		require.Equal(t, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:web:"+qualifier, notFound.ErrorMessage())
	}
}

func TestAnAliasWithWeightsRunsBothVersions(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", twoVersions)
	executed := map[string]bool{}
	for i := 0; len(executed) < 2; i++ { // 60 of one kind in a row do not happen
		require.Less(t, i, 60)
		out, err := m.qualified("live", order{Do: "headers"})
		require.NoError(t, err)
		executed[aws.ToString(out.ExecutedVersion)] = true
		require.Contains(t, string(out.Payload), "arn:aws:lambda:us-east-1:000000000000:function:web:live")
	}
	require.Equal(t, map[string]bool{"1": true, "2": true}, executed)
}
