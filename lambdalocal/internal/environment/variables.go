package environment

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// inherited are the variables that processes take over from the machine: to find programs, and to call AWS as whoever
// started this.
var inherited = []string{
	"PATH", "HOME", "TMPDIR", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
}

// variables are those of a function's processes: Lambda's own, PORT, and above all the configured ones.
func (e *Environment) variables(runtimeAPI string) []string {
	cfg := e.cfg
	vars := map[string]string{
		"_HANDLER":                        cfg.Handler,
		"AWS_REGION":                      cfg.Region,
		"AWS_DEFAULT_REGION":              cfg.Region,
		"AWS_LAMBDA_FUNCTION_NAME":        cfg.Function,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(cfg.MemoryMB),
		"AWS_LAMBDA_FUNCTION_VERSION":     cfg.Version,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  cfg.initializationType(),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + cfg.Function,
		"AWS_LAMBDA_LOG_STREAM_NAME":      fmt.Sprintf("%s/[%s]%s", time.Now().UTC().Format("2006/01/02"), cfg.Version, e.id),
		"AWS_LAMBDA_RUNTIME_API":          runtimeAPI,
		"LAMBDA_TASK_ROOT":                cfg.Dir,
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
		"PORT":                            strconv.Itoa(e.port),
	}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			vars[name] = value
		}
	}
	for name, value := range cfg.Env {
		vars[name] = e.expand(value)
	}
	list := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		list = append(list, name+"="+vars[name])
	}
	return list
}

func (c *Config) initializationType() string {
	if c.Provisioned {
		return "provisioned-concurrency"
	}
	return "on-demand"
}

// expand puts the environment's port where {port} stands: environments of one machine share its ports.
func (e *Environment) expand(text string) string {
	return strings.ReplaceAll(text, "{port}", strconv.Itoa(e.port))
}

func (e *Environment) expandAll(argv []string) []string {
	list := make([]string, len(argv))
	for i, arg := range argv {
		list[i] = e.expand(arg)
	}
	return list
}
