package environment

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/sandbox"
)

// inherited are the variables that processes take over from lambdalocal, where it has them: to find programs, and to call AWS with
// its credentials.
var inherited = []string{
	"PATH", "HOME", "TMPDIR", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
}

// withheld are the variables that Lambda does not give to external extensions (assumed: extension-variables). Source: "Lambda
// Extensions API" in the Lambda developer guide.
var withheld = []string{
	"_HANDLER", "AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_XRAY_CONTEXT_MISSING",
	"AWS_XRAY_DAEMON_ADDRESS", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_AWS_XRAY_DAEMON_ADDRESS", "_AWS_XRAY_DAEMON_PORT",
	maxConcurrency,
}

// maxConcurrency is set on Managed Instances only, for runtimes only.
const maxConcurrency = "AWS_LAMBDA_MAX_CONCURRENCY"

// Where X-Ray's daemon listens in Lambda. Nobody listens there here; AWS_XRAY_CONTEXT_MISSING keeps that from being an error.
const (
	xrayHost = "169.254.79.129"
	xrayPort = "2000"
)

// variables are those of one of a function's processes: Lambda's own and PORT, overridden by the configured ones.
func (e *Environment) variables(runtimeAPI string, of kind) []string {
	vars := e.reserved(runtimeAPI)
	if of == extern {
		for _, name := range withheld {
			delete(vars, name)
		}
	}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok && (name != "TMPDIR" || e.inside == nil) {
			vars[name] = value
		}
	}
	vars["PATH"] = strings.TrimPrefix(vars["PATH"]+":"+sandbox.Layers+"/bin", ":")
	for name, value := range e.cfg.Env {
		vars[name] = e.expand(value)
	}
	list := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		list = append(list, name+"="+vars[name])
	}
	return list
}

// reserved are Lambda's own variables, and PORT. These credentials are valid nowhere.
func (e *Environment) reserved(runtimeAPI string) map[string]string {
	cfg := e.cfg
	vars := map[string]string{
		"_HANDLER":                        cfg.Handler,
		"_AWS_XRAY_DAEMON_ADDRESS":        xrayHost,
		"_AWS_XRAY_DAEMON_PORT":           xrayPort,
		"AWS_ACCESS_KEY_ID":               "ASIALAMBDALOCAL00000",
		"AWS_SECRET_ACCESS_KEY":           "lambdalocal",
		"AWS_SESSION_TOKEN":               "lambdalocal",
		"AWS_REGION":                      cfg.Region,
		"AWS_DEFAULT_REGION":              cfg.Region,
		"AWS_LAMBDA_FUNCTION_NAME":        cfg.Function,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(cfg.MemoryMB),
		"AWS_LAMBDA_FUNCTION_VERSION":     cfg.Version,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  cfg.initializationType(),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + cfg.Function,
		"AWS_LAMBDA_LOG_STREAM_NAME":      fmt.Sprintf("%s/[%s]%s", time.Now().UTC().Format("2006/01/02"), cfg.Version, e.id),
		"AWS_LAMBDA_METADATA_API":         runtimeAPI,
		"AWS_LAMBDA_METADATA_TOKEN":       e.token,
		"AWS_LAMBDA_RUNTIME_API":          runtimeAPI,
		"AWS_XRAY_CONTEXT_MISSING":        "LOG_ERROR",
		"AWS_XRAY_DAEMON_ADDRESS":         xrayHost + ":" + xrayPort,
		"LAMBDA_TASK_ROOT":                e.dir(),
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"LD_LIBRARY_PATH":                 e.dir() + ":" + e.dir() + "/lib:" + sandbox.Layers + "/lib", // before the machine's own, which the loader knows
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
		"PORT":                            strconv.Itoa(e.port),
	}
	if cfg.Managed() {
		vars[maxConcurrency] = strconv.Itoa(cfg.Concurrency)
	}
	return vars
}

func (c *Config) initializationType() string {
	switch {
	case c.Managed():
		return managedInstances
	case c.Provisioned:
		return "provisioned-concurrency"
	default:
		return "on-demand"
	}
}

// expand puts the environment's port where {port} stands: environments of one machine share its ports.
func (e *Environment) expand(text string) string {
	return strings.ReplaceAll(text, "{port}", strconv.Itoa(e.port))
}

func (e *Environment) expandAll(argv []string) []string {
	list := make([]string, len(argv))
	for i, arg := range argv {
		list[i] = e.outside(e.expand(arg))
	}
	return list
}
