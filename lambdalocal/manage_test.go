package lambdalocal_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

const webARN = "arn:aws:lambda:us-east-1:000000000000:function:web"

func TestAFunctionIsDescribed(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		twoVersions(f)
		f.Timeout, f.MemoryMB, f.Architecture, f.Handler = 1500*time.Millisecond, 512, "arm64", "app.handler"
	})
	ctx := context.Background()
	c, err := m.client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("web")})
	require.NoError(t, err)
	require.Equal(t, webARN, aws.ToString(c.FunctionArn))
	require.Equal(t, "web $LATEST app.handler", aws.ToString(c.FunctionName)+" "+aws.ToString(c.Version)+" "+aws.ToString(c.Handler))
	require.EqualValues(t, 2, *c.Timeout, "whole seconds, rounded up")
	require.EqualValues(t, 512, *c.MemorySize)
	require.Equal(t, []types.Architecture{types.ArchitectureArm64}, c.Architectures)
	require.Equal(t, types.StateActive, c.State)
	require.Equal(t, "red", c.Environment.Variables["COLOUR"])
	modified, err := time.Parse("2006-01-02T15:04:05.000-0700", aws.ToString(c.LastModified))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), modified, time.Minute)
	require.Equal(t, types.TracingModePassThrough, c.TracingConfig.Mode) // as for any function for which nobody has asked for more
	require.Equal(t, types.SnapStartApplyOnNone, c.SnapStart.ApplyOn)
	require.Equal(t, "Text /aws/lambda/web", string(c.LoggingConfig.LogFormat)+" "+aws.ToString(c.LoggingConfig.LogGroup))

	f, err := m.client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("web"), Qualifier: aws.String("next")})
	require.NoError(t, err)
	require.Equal(t, webARN+":next", aws.ToString(f.Configuration.FunctionArn))
	require.Equal(t, "2", aws.ToString(f.Configuration.Version))
	require.Equal(t, "blue", f.Configuration.Environment.Variables["COLOUR"])
	require.Nil(t, f.Concurrency)

	waiter := lambda.NewFunctionActiveV2Waiter(m.client)
	require.NoError(t, waiter.Wait(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("web")}, time.Second))
}

func TestFunctionsVersionsAndAliasesAreListed(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", twoVersions)
	ctx := context.Background()
	functions, err := m.client.ListFunctions(ctx, &lambda.ListFunctionsInput{})
	require.NoError(t, err)
	require.Len(t, functions.Functions, 1)
	require.Equal(t, webARN, aws.ToString(functions.Functions[0].FunctionArn))
	functions, err = m.client.ListFunctions(ctx, &lambda.ListFunctionsInput{FunctionVersion: types.FunctionVersionAll})
	require.NoError(t, err)
	versions, err := m.client.ListVersionsByFunction(ctx, &lambda.ListVersionsByFunctionInput{FunctionName: aws.String("web")})
	require.NoError(t, err)
	for _, list := range [][]types.FunctionConfiguration{functions.Functions, versions.Versions} {
		var arns []string
		for _, v := range list {
			arns = append(arns, aws.ToString(v.FunctionArn))
		}
		require.Equal(t, []string{webARN + ":$LATEST", webARN + ":1", webARN + ":2"}, arns)
	}

	aliases, err := m.client.ListAliases(ctx, &lambda.ListAliasesInput{FunctionName: aws.String("web")})
	require.NoError(t, err)
	require.Len(t, aliases.Aliases, 2)
	alias, err := m.client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: aws.String("web"), Name: aws.String("live")})
	require.NoError(t, err)
	require.Equal(t, webARN+":live", aws.ToString(alias.AliasArn))
	require.Equal(t, "1", aws.ToString(alias.FunctionVersion))
	require.Equal(t, map[string]float64{"2": 0.5}, alias.RoutingConfig.AdditionalVersionWeights)
	require.Nil(t, aliases.Aliases[1].RoutingConfig)
}

func TestWhatDoesNotExistIsNotFound(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	ctx, nobody, web, dead := context.Background(), aws.String("nobody"), aws.String("web"), aws.String("dead")
	for name, call := range map[string]func() error{
		"GetFunction": func() error {
			_, err := m.client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: nobody})
			return err
		},
		"qualifier": func() error {
			_, err := m.client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: web, Qualifier: dead})
			return err
		},
		"ListVersions": func() error {
			_, err := m.client.ListVersionsByFunction(ctx, &lambda.ListVersionsByFunctionInput{FunctionName: nobody})
			return err
		},
		"ListAliases": func() error {
			_, err := m.client.ListAliases(ctx, &lambda.ListAliasesInput{FunctionName: nobody})
			return err
		},
		"GetAlias": func() error {
			_, err := m.client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: web, Name: dead})
			return err
		},
		"PutConcurrency": func() error {
			_, err := m.client.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: nobody, ReservedConcurrentExecutions: aws.Int32(1)})
			return err
		},
		"GetConcurrency": func() error {
			_, err := m.client.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: nobody})
			return err
		},
		"Delete": func() error {
			_, err := m.client.DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: nobody})
			return err
		},
		"Provisioned": func() error {
			_, err := m.client.GetProvisionedConcurrencyConfig(ctx, &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: web, Qualifier: dead})
			return err
		},
	} {
		var notFound *types.ResourceNotFoundException
		require.ErrorAs(t, call(), &notFound, name)
	}
}
