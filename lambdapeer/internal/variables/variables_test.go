package variables

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func reader(environ ...string) func(string) string {
	return Reader(func(name string) string {
		for _, entry := range environ {
			if text, found := strings.CutPrefix(entry, name+"="); found {
				return text
			}
		}
		return ""
	})
}

func TestOldNamesAreReadForARelease(t *testing.T) {
	environ := []string{"LAMBDA_DISPATCH_PORT=81", "LAMBDA_DISPATCH_TOKEN=old", "LAMBDA_DISPATCH_PEER_TOKEN=new", "LAMBDA_DISPATCH_PUBLIC_KEY=x"}
	read := reader(environ...)
	require.Equal(t, "81", read("LAMBDA_DISPATCH_PEER_PORT"))
	require.Equal(t, "new", read("LAMBDA_DISPATCH_PEER_TOKEN"))
	require.Empty(t, read("LAMBDA_DISPATCH_PEER_PUBLIC_KEY"), "it never had that name")
	require.Equal(t, []string{
		"LAMBDA_DISPATCH_PORT is an old name, which the next release will not read: use LAMBDA_DISPATCH_PEER_PORT",
		"LAMBDA_DISPATCH_TOKEN is not read: there is no such variable, did you mean LAMBDA_DISPATCH_PEER_TOKEN?",
		"LAMBDA_DISPATCH_PUBLIC_KEY is not read: there is no such variable, did you mean LAMBDA_DISPATCH_PEER_PUBLIC_KEY?",
	}, Warnings(environ))
}

func TestAMisspeltNameIsNamed(t *testing.T) {
	require.Equal(t, []string{
		"LAMBDA_DISPATCH_READINES_PATH is not read: there is no such variable, did you mean LAMBDA_DISPATCH_PEER_READINESS_PATH?",
		"LAMBDA_DISPATCH_PEER_READYNESS_PATH is not read: there is no such variable, did you mean LAMBDA_DISPATCH_PEER_READINESS_PATH?",
		"LAMBDA_DISPATCH_PEER_ZZZ is not read: there is no such variable",
	}, Warnings([]string{
		"HOME=/", "LAMBDA_DISPATCH_READINES_PATH=/up", "LAMBDA_DISPATCH_PEER_READYNESS_PATH=/up", "LAMBDA_DISPATCH_PEER_ZZZ=1",
		"LAMBDA_DISPATCH_PEER_RELAY=x", "LAMBDA_DISPATCH_CONTROL_LOG_LEVEL=warn",
	}))
}

func TestAMisspeltPrefixIsNamed(t *testing.T) {
	for name, meant := range map[string]string{
		"LAMBDA_DISPACH_PEER_PORT":            "PORT",
		"LAMBDADISPATCH_PEER_READINESS_PATH":  "READINESS_PATH",
		"LAMDA_DISPATCH_PEER_PUBLIC_KEYS":     "PUBLIC_KEY",
		"lambda_dispatch_peer_relays":         "RELAYS",
		"Lambda-Dispatch-Peer-Log-Level":      "LOG_LEVEL",
		"LAMBDA_DISPTACH_PEER_RELAY_CA":       "RELAY_CA",
		"_LAMBDA_DISPATCH_PEER_REQUIRE_TRUST": "REQUIRE_TRUST",
		"LAMBDA-DISPATCH-PEER-FREEZE_PATH":    "FREEZE_PATH",
	} {
		require.Equal(t, []string{name + " is not read: there is no such variable, did you mean " + Prefix + meant + "?"}, Warnings([]string{name + "=x"}))
	}
	require.Empty(t, Warnings([]string{
		"LAMBDA_TASK_ROOT=/var/task", "LAMBDA_RUNTIME_DIR=/var/runtime", "AWS_LAMBDA_RUNTIME_API=x", "PORT=8080", "DISPATCH_PORT=1", "LAMBDA_PORT=1",
		"MY_LAMBDA_DISPATCH_URL=x", "=C:=x", "",
	}))
}

// Kubernetes sets these in each container for a Service of that name with two ports.
func TestVariablesOfServicesAreNotOurs(t *testing.T) {
	for _, service := range []string{"LAMBDA_DISPATCH", "LAMBDA_DISPATCH_PEER", "LAMBDA_DISPATCH_CONTROL", "LAMBDA_DISPATCH_PEER_RELAY"} {
		environ := []string{
			service + "_SERVICE_HOST=10.96.0.12", service + "_SERVICE_PORT=7443", service + "_SERVICE_PORT_RELAY=7443",
			service + "_PORT=tcp://10.96.0.12:7443", service + "_PORT_7443_TCP=tcp://10.96.0.12:7443",
			service + "_PORT_7443_TCP_PROTO=tcp", service + "_PORT_7443_TCP_PORT=7443", service + "_PORT_7443_TCP_ADDR=10.96.0.12",
			service + "_PORT_53_UDP=udp://[fd00::12]:53",
		}
		require.Empty(t, Warnings(environ))
		require.Empty(t, reader(environ...)(Prefix+"PORT"))
	}
}

// Every name that the code reads is known here, and every name that is known is read and in the README.
func TestTheListIsWhatIsRead(t *testing.T) {
	inCode := regexp.MustCompile(`"` + Prefix + `([A-Z_]+)"`)
	var read []string
	require.NoError(t, filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, match := range inCode.FindAllStringSubmatch(string(text), -1) {
			read = append(read, match[1])
		}
		return err
	}))
	slices.Sort(read)
	require.Equal(t, all, slices.Compact(read))
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	for _, name := range all {
		require.Contains(t, string(readme), "`"+Prefix+name+"`")
		require.False(t, links.MatchString(Prefix+name), "it could not be set")
	}
}
