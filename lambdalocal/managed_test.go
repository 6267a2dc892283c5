package lambdalocal_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// managed runs a function as on Managed Instances, and returns when its environments are up.
func managed(t testing.TB, command string, change func(*lambdalocal.Function)) *machine {
	t.Helper()
	m := run(t, command, func(f *lambdalocal.Function) {
		f.MemoryMB, f.Managed = 2048, &lambdalocal.Managed{MaxConcurrency: 2, MinEnvironments: 1, MaxEnvironments: 4, GiBPerVCPU: 2, ScaleInterval: time.Hour}
		if change != nil {
			change(f)
		}
	})
	m.eventually("ready", func() bool { return m.ready() > 0 })
	return m
}

func (m *machine) ready() (n int) {
	for _, e := range m.Environments() {
		if e.State == lambdalocal.StateReady {
			n++
		}
	}
	return n
}

// meetings is a number of invocations at once that end only when all of them are there.
func (m *machine) meetings(n int) *sync.WaitGroup {
	var all sync.WaitGroup
	for range n {
		all.Go(func() { m.insist(order{Do: "meet", Ms: n}) })
	}
	return &all
}

// insist invokes until there is room.
func (m *machine) insist(o order) {
	var throttled *types.TooManyRequestsException
	_, err := m.try(o)
	for errors.As(err, &throttled) {
		time.Sleep(time.Millisecond)
		_, err = m.try(o)
	}
	require.NoError(m.t, err)
}

func TestAManagedEnvironmentServesSeveralInvocationsAtOnce(t *testing.T) {
	t.Parallel()
	m := managed(t, "workers", nil)
	about, err := m.client.GetFunctionConfiguration(context.Background(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("web")})
	require.NoError(t, err)
	require.Equal(t, types.StateActive, about.State)
	on := about.CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig
	require.Equal(t, "arn:aws:lambda:us-east-1:000000000000:capacity-provider:lambdalocal", *on.CapacityProviderArn)
	require.EqualValues(t, 2, *on.PerExecutionEnvironmentMaxConcurrency)
	require.EqualValues(t, 2, *on.ExecutionEnvironmentMemoryGiBPerVCpu)
	m.meetings(2).Wait()
	require.Len(t, m.Environments(), 1)
	require.Equal(t, []int{0, 2}, []int{m.Counters("web").Cold, m.Counters("web").Warm})
	require.Zero(t, m.Counters("web").BilledMs)
}

// By default an environment may have as many invocations at once as its vCPUs allow.
func TestTheConcurrencyOfAManagedEnvironmentGrowsWithItsVCPUs(t *testing.T) {
	t.Parallel()
	m := managed(t, "runtime", func(f *lambdalocal.Function) { f.MemoryMB, f.Managed.MaxConcurrency = 6144, 0 })
	about, err := m.client.GetFunctionConfiguration(context.Background(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("web")})
	require.NoError(t, err)
	require.EqualValues(t, 192, *about.CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.PerExecutionEnvironmentMaxConcurrency)
	require.Contains(t, string(m.invoke(order{Do: "environ"}).Payload), `"AWS_LAMBDA_MAX_CONCURRENCY":"192"`)
}

// New environments are not started for invocations: what does not fit is throttled, until the next look at the load.
func TestManagedEnvironmentsAreAddedAfterwards(t *testing.T) {
	t.Parallel()
	m := managed(t, "workers", func(f *lambdalocal.Function) { f.Managed.ScaleInterval = 300 * time.Millisecond })
	full := m.meetings(7) // of the eight that four environments have: some come before the next look, however slow the machine is
	m.eventually("throttled", func() bool { return m.Counters("web").Throttled > 0 })
	m.eventually("more", func() bool { return m.ready() > 1 })
	full.Wait()
	require.Zero(t, m.Counters("web").Errors)
}

// What finds no environment at all is throttled, too, and has one started.
func TestManagedEnvironmentsComeBackFromNone(t *testing.T) {
	t.Parallel()
	m := run(t, "workers", func(f *lambdalocal.Function) {
		f.MemoryMB, f.Managed = 2048, &lambdalocal.Managed{MaxConcurrency: 2, MaxEnvironments: 1, GiBPerVCPU: 2, ScaleInterval: 50 * time.Millisecond}
	})
	_, err := m.try(order{})
	var throttled *types.TooManyRequestsException
	require.ErrorAs(t, err, &throttled)
	m.eventually("one", func() bool { return m.ready() == 1 })
	m.insist(order{})
}

func TestAManagedFunctionPaysForInstances(t *testing.T) {
	t.Parallel()
	m := managed(t, "workers", func(f *lambdalocal.Function) { f.Managed.MinEnvironments = 3 })
	m.eventually("all", func() bool { return m.ready() == 3 })
	m.invoke(order{})
	first := m.Ledger().Functions[0]
	require.Equal(t, 3, first.Managed.Instances, "one in each zone, though each holds two environments")
	m.eventually("they cost on", func() bool { return m.Ledger().Functions[0].Managed.InstanceSeconds > first.Managed.InstanceSeconds })
	a := m.Ledger().Functions[0]
	hour := 0.08925
	require.InEpsilon(t, a.Managed.InstanceSeconds*hour/3600*1.15+0.2e-6, a.Total.Dollars, 1e-9)
	require.Zero(t, a.Total.GBSeconds)
}

// One that has crashed is replaced, its invocations have failed.
func TestAManagedEnvironmentThatCrashesIsReplaced(t *testing.T) {
	t.Parallel()
	m := managed(t, "workers", nil)
	before := m.Environments()[0].ID
	out, err := m.try(order{Do: "exit", Ms: 1})
	require.NoError(t, err)
	require.Contains(t, string(out.Payload), "Runtime.ExitError")
	m.eventually("another one", func() bool { return m.ready() == 1 && m.Environments()[0].ID != before })
	m.invoke(order{})
}

// Code that is replaced serves what it has begun.
func TestManagedEnvironmentsEndWithTheirInvocations(t *testing.T) {
	t.Parallel()
	m := managed(t, "workers", nil)
	before := m.Environments()[0].ID
	ended := make(chan error, 1)
	go func() { _, err := m.try(order{Do: "sleep", Ms: 500}); ended <- err }()
	m.eventually("busy", func() bool { return m.Counters("web").Started == 1 })
	_, err := m.client.UpdateFunctionCode(context.Background(), &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("web")})
	require.NoError(t, err)
	require.NoError(t, <-ended)
	m.eventually("the new one only", func() bool { list := m.Environments(); return len(list) == 1 && list[0].ID != before && m.ready() == 1 })
	require.Equal(t, 1, m.Counters("web").Outcomes[lambdalocal.Succeeded])
}

// Before its environments are up a function is pending.
func TestAManagedFunctionIsPendingAtFirst(t *testing.T) {
	t.Parallel()
	m := run(t, "silent", func(f *lambdalocal.Function) {
		f.MemoryMB, f.Managed = 2048, new(lambdalocal.DefaultManaged())
	})
	_, err := m.try(order{})
	var pending *types.ResourceConflictException
	require.ErrorAs(t, err, &pending)
	require.Contains(t, pending.ErrorMessage(), "Pending")
	about, err := m.client.GetFunctionConfiguration(context.Background(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("web")})
	require.NoError(t, err)
	require.Equal(t, types.StatePending, about.State, "for waiters")
}

func TestWhatManagedInstancesDoNotHaveIsRefused(t *testing.T) {
	t.Parallel()
	m := managed(t, "runtime", func(f *lambdalocal.Function) { f.Versions = []lambdalocal.Version{{Name: "1"}} })
	ctx, web := context.Background(), aws.String("web")
	_, reserved := m.client.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: web, ReservedConcurrentExecutions: aws.Int32(1)})
	_, provisioned := m.client.PutProvisionedConcurrencyConfig(ctx, &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: web, Qualifier: aws.String("1"), ProvisionedConcurrentExecutions: aws.Int32(1),
	})
	_, memory := m.client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: web, MemorySize: aws.Int32(4096)})
	for what, err := range map[string]error{"reserved": reserved, "provisioned": provisioned, "memory": memory} {
		var refused *types.InvalidParameterValueException
		require.ErrorAs(t, err, &refused, what)
	}
}
