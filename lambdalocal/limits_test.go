package lambdalocal_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// refusedBeside invokes once while another invocation is in progress, which must be refused with the reason.
func (m *machine) refusedBeside(reason types.ThrottleReason) {
	m.t.Helper()
	ended := make(chan error, 1)
	go func() { _, err := m.try(order{Do: "sleep", Ms: 500}); ended <- err }()
	m.eventually("busy", func() bool { return m.Counters("web").Started == 1 })
	_, err := m.try(order{})
	var throttled *types.TooManyRequestsException
	require.ErrorAs(m.t, err, &throttled)
	require.Equal(m.t, reason, throttled.Reason)
	require.NoError(m.t, <-ended)
	m.invoke(order{})
	require.Equal(m.t, []int{1, 1, 1}, []int{m.Counters("web").Cold, m.Counters("web").Warm, m.Counters("web").Throttled})
}

func TestTheAccountsConcurrencyIsALimit(t *testing.T) {
	t.Parallel()
	m := runWith(t, "runtime", func(c *lambdalocal.Config, _ *lambdalocal.Function) { c.AccountConcurrency = 1 })
	m.refusedBeside(types.ThrottleReasonConcurrentInvocationLimitExceeded)
}

func TestTheScalingRateIsALimit(t *testing.T) {
	t.Parallel()
	m := runWith(t, "runtime", func(c *lambdalocal.Config, _ *lambdalocal.Function) { c.ScalingRate = 1 })
	m.refusedBeside(types.ThrottleReasonFunctionInvocationRateLimitExceeded)
}

func TestReservedConcurrencyByTheAPI(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	ctx, web := context.Background(), aws.String("web")
	get := func() *int32 {
		out, err := m.client.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: web})
		require.NoError(t, err)
		return out.ReservedConcurrentExecutions
	}
	require.Nil(t, get())
	m.reserve(aws.Int32(0))
	require.EqualValues(t, 0, *get())
	_, err := m.try(order{})
	require.ErrorContains(t, err, "TooManyRequestsException")

	var invalid *types.InvalidParameterValueException
	_, err = m.client.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: web, ReservedConcurrentExecutions: aws.Int32(901)})
	require.ErrorAs(t, err, &invalid)
	require.Contains(t, invalid.ErrorMessage(), "below its minimum value of [100]")

	_, err = m.client.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: web, ReservedConcurrentExecutions: aws.Int32(-1)})
	require.ErrorContains(t, err, "Value '-1' at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 0")

	m.reserve(aws.Int32(900))
	account, err := m.client.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	require.NoError(t, err)
	require.EqualValues(t, 1000, account.AccountLimit.ConcurrentExecutions)
	require.EqualValues(t, 100, *account.AccountLimit.UnreservedConcurrentExecutions)
	function, err := m.client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: web})
	require.NoError(t, err)
	require.EqualValues(t, 900, *function.Concurrency.ReservedConcurrentExecutions)
	m.reserve(nil)
	require.Nil(t, get())
	m.invoke(order{})
}

func provisionedVersion(f *lambdalocal.Function) {
	f.Versions = []lambdalocal.Version{{Name: "1", ProvisionedConcurrency: 2}}
	f.Aliases = []lambdalocal.Alias{{Name: "live", Version: "1"}}
}

func (m *machine) provisioned() *lambda.GetProvisionedConcurrencyConfigOutput {
	m.t.Helper()
	out, err := m.client.GetProvisionedConcurrencyConfig(context.Background(),
		&lambda.GetProvisionedConcurrencyConfigInput{FunctionName: aws.String("web"), Qualifier: aws.String("live")})
	require.NoError(m.t, err)
	return out
}

func TestProvisionedEnvironmentsAreReadyAheadAndNobodyPaysTheirInit(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", provisionedVersion)
	ready := func() bool {
		p := m.provisioned()
		return p.Status == types.ProvisionedConcurrencyStatusEnumReady && *p.AvailableProvisionedConcurrentExecutions == 2
	}
	m.eventually("ready", ready)
	require.Len(t, m.Environments(), 2)

	out, err := m.client.Invoke(context.Background(), &lambda.InvokeInput{
		FunctionName: aws.String("web:live"), Payload: payload(order{Do: "environ"}), LogType: types.LogTypeTail,
	})
	require.NoError(t, err)
	require.NotContains(t, logOf(t, out), "Init Duration")
	var vars map[string]string
	require.NoError(t, json.Unmarshal(out.Payload, &vars))
	require.Equal(t, "provisioned-concurrency", vars["AWS_LAMBDA_INITIALIZATION_TYPE"])
	require.Equal(t, []int{0, 1}, []int{m.Counters("web").Cold, m.Counters("web").Warm})
	require.Zero(t, m.Ledger().Functions[0].Invoke.InitMs)

	list, err := m.client.ListProvisionedConcurrencyConfigs(context.Background(), &lambda.ListProvisionedConcurrencyConfigsInput{FunctionName: aws.String("web")})
	require.NoError(t, err)
	require.Len(t, list.ProvisionedConcurrencyConfigs, 1)
	require.Equal(t, webARN+":1", aws.ToString(list.ProvisionedConcurrencyConfigs[0].FunctionArn))

	before := m.Environments()
	require.True(t, m.Kill(before[0].ID))
	m.eventually("replaced", func() bool { return m.Environments()[0].ID != before[0].ID && ready() })

	ctx, live := context.Background(), aws.String("live")
	_, err = m.client.PutProvisionedConcurrencyConfig(ctx, &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: aws.String("web"), Qualifier: live, ProvisionedConcurrentExecutions: aws.Int32(1),
	})
	require.NoError(t, err)
	m.eventually("one retired", func() bool { return len(m.Environments()) == 1 })
	_, err = m.client.DeleteProvisionedConcurrencyConfig(ctx, &lambda.DeleteProvisionedConcurrencyConfigInput{FunctionName: aws.String("web"), Qualifier: live})
	require.NoError(t, err)
	m.eventually("none left", func() bool { return len(m.Environments()) == 0 })
	_, err = m.client.GetProvisionedConcurrencyConfig(ctx, &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: aws.String("web"), Qualifier: live})
	var none *types.ProvisionedConcurrencyConfigNotFoundException
	require.ErrorAs(t, err, &none)
}

func TestLessProvisionedConcurrencyEndsNoInvocation(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		provisionedVersion(f)
		f.IdleExpiry = lambdalocal.Fixed(50 * time.Millisecond)
	})
	m.eventually("ready", func() bool { return *m.provisioned().AvailableProvisionedConcurrentExecutions == 2 })
	ended := make(chan error, 1)
	go func() { _, err := m.qualified("live", order{Do: "sleep", Ms: 300}); ended <- err }()
	m.eventually("busy", func() bool { return m.Counters("web").Started == 1 })
	_, err := m.client.DeleteProvisionedConcurrencyConfig(context.Background(),
		&lambda.DeleteProvisionedConcurrencyConfigInput{FunctionName: aws.String("web"), Qualifier: aws.String("live")})
	require.NoError(t, err)
	require.NoError(t, <-ended)
	m.eventually("the idle one at once, the other when idle for long", func() bool { return len(m.Environments()) == 0 })
	require.Equal(t, 1, m.Counters("web").Outcomes[lambdalocal.Succeeded])
}

func TestProvisioningThatFailsIsNotRepeated(t *testing.T) {
	t.Parallel()
	m := run(t, "exiting", provisionedVersion)
	m.eventually("failed", func() bool {
		return m.provisioned().Status == types.ProvisionedConcurrencyStatusEnumFailed && len(m.Environments()) == 0
	})
	require.Equal(t, "FUNCTION_ERROR_INIT_FAILURE", aws.ToString(m.provisioned().StatusReason))
	require.Zero(t, m.Counters("web").Started)
}

func TestTheLatestVersionCannotBeProvisioned(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	_, err := m.client.PutProvisionedConcurrencyConfig(context.Background(), &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: aws.String("web"), Qualifier: aws.String("$LATEST"), ProvisionedConcurrentExecutions: aws.Int32(1),
	})
	var invalid *types.InvalidParameterValueException
	require.ErrorAs(t, err, &invalid)
}
