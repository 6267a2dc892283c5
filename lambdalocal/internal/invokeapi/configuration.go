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
	Environment      variables
	Description      string
	CodeSha256       string `json:",omitempty"` // where the code is a copy
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
func (h *Handler) configuration(f *function.Function, t target, cfg function.Version) configuration {
	return configuration{
		FunctionName: cfg.Function, FunctionArn: h.arn(t), Version: cfg.Version, Runtime: "provided.al2023",
		Role: fmt.Sprintf("arn:aws:iam::%s:role/lambdalocal", h.AccountID), Handler: cfg.Handler,
		Timeout: int(math.Ceil(cfg.Timeout.Seconds())), MemorySize: cfg.MemoryMB, LastModified: cfg.Modified.UTC().Format(timestamp),
		Architectures: []string{string(f.Config().Architecture)}, Environment: variables{cfg.Env}, PackageType: "Zip",
		Description: cfg.Description, CodeSha256: cfg.Sha256,
		State: "Active", LastUpdateStatus: "Successful", EphemeralStorage: storage{512},
	}
}
