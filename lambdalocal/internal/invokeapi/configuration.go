package invokeapi

import (
	"fmt"
	"math"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
)

// timestamp is how the API writes times.
const timestamp = "2006-01-02T15:04:05.000-0700"

// A configuration is a FunctionConfiguration in the API's JSON: what lambdalocal knows of it, and constants where SDKs and
// their waiters look for something.
type configuration struct {
	FunctionName     string
	FunctionArn      string
	Version          string
	Runtime          string
	Role             string
	Handler          string
	Timeout          int // seconds, rounded up
	MemorySize       int
	LastModified     string
	Architectures    []string
	Environment      *variables `json:",omitempty"` // nil: there are none
	Description      string
	CodeSha256       string `json:",omitempty"` // where the code is a copy
	RevisionId       string
	PackageType      string
	State            string
	LastUpdateStatus string
	EphemeralStorage storage
	LoggingConfig    logging
	TracingConfig    tracing
	SnapStart        snapStart

	CapacityProviderConfig *capacityProvider `json:",omitempty"` // on Managed Instances
}

type (
	variables struct{ Variables map[string]string }
	storage   struct{ Size int }
	logging   struct{ LogFormat, LogGroup string }
	tracing   struct{ Mode string }
	snapStart struct{ ApplyOn, OptimizationStatus string }

	capacityProvider struct {
		LambdaManagedInstancesCapacityProviderConfig managedInstances
	}
	managedInstances struct {
		CapacityProviderArn                   string
		ExecutionEnvironmentMemoryGiBPerVCpu  float64
		PerExecutionEnvironmentMaxConcurrency int
	}
)

// capacity is nil for a function that runs on Lambda's own machines.
func (h *Handler) capacity(m *function.Managed, cfg function.Version) *capacityProvider {
	if m == nil {
		return nil
	}
	return &capacityProvider{managedInstances{
		CapacityProviderArn:                   fmt.Sprintf("arn:aws:lambda:%s:%s:capacity-provider:lambdalocal", h.Region, h.AccountID),
		ExecutionEnvironmentMemoryGiBPerVCpu:  float64(cfg.MemoryMB) / 1024 / m.VCPUs,
		PerExecutionEnvironmentMaxConcurrency: cfg.Concurrency,
	}}
}

// state is what SDKs wait for.
func state(f *function.Function, version string) string {
	if f.Pending(version) {
		return "Pending"
	}
	return "Active"
}

func environmentOf(cfg function.Version) *variables {
	if len(cfg.Env) == 0 {
		return nil
	}
	return &variables{cfg.Env}
}

// configuration describes a version of the function, named as t names it.
func (h *Handler) configuration(f *function.Function, t target, cfg function.Version) configuration {
	return configuration{
		FunctionName: cfg.Function, FunctionArn: h.arn(t), Version: cfg.Version, Runtime: "provided.al2023",
		Role: fmt.Sprintf("arn:aws:iam::%s:role/lambdalocal", h.AccountID), Handler: cfg.Handler,
		Timeout: int(math.Ceil(cfg.Timeout.Seconds())), MemorySize: cfg.MemoryMB, LastModified: cfg.Modified.UTC().Format(timestamp),
		Architectures: []string{string(f.Config().Architecture)}, Environment: environmentOf(cfg), PackageType: "Zip",
		Description: cfg.Description, CodeSha256: cfg.Sha256, RevisionId: cfg.Revision,
		State: state(f, cfg.Version), LastUpdateStatus: "Successful", EphemeralStorage: storage{cfg.TempMB},
		LoggingConfig: logging{"Text", "/aws/lambda/" + cfg.Function}, TracingConfig: tracing{"PassThrough"}, SnapStart: snapStart{"None", "Off"},
		CapacityProviderConfig: h.capacity(f.Config().Managed, cfg),
	}
}
