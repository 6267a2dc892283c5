package invokeapi

import (
	"fmt"
	"math"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
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
	Environment      variables
	PackageType      string
	State            string
	LastUpdateStatus string
	EphemeralStorage storage
}

type (
	variables struct{ Variables map[string]string }
	storage   struct{ Size int }
)

// configuration describes a version of the function, named as t names it.
func (h *Handler) configuration(f *function.Function, t target, version string) configuration {
	cfg := versionConfig(f, version)
	return configuration{
		FunctionName: cfg.Function, FunctionArn: h.arn(t), Version: version, Runtime: "provided.al2023",
		Role: fmt.Sprintf("arn:aws:iam::%s:role/lambdalocal", h.AccountID), Handler: cfg.Handler,
		Timeout: int(math.Ceil(cfg.Timeout.Seconds())), MemorySize: cfg.MemoryMB, LastModified: h.Started.UTC().Format(timestamp),
		Architectures: []string{string(f.Config().Architecture)}, Environment: variables{cfg.Env}, PackageType: "Zip",
		State: "Active", LastUpdateStatus: "Successful", EphemeralStorage: storage{512},
	}
}

func versionConfig(f *function.Function, version string) environment.Config {
	for _, v := range f.Config().Versions {
		if v.Version == version {
			return v.Config
		}
	}
	return f.Config().Config
}
