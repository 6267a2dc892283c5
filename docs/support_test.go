package docs_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// SUPPORT.md names a test for each behaviour of Envoy's that is relied on; each of them exists, and `make envoys` runs those that are marked.
func TestTheTestsThatSupportNamesExist(t *testing.T) {
	text, err := os.ReadFile("../SUPPORT.md")
	require.NoError(t, err)
	out, err := exec.Command("grep", "-rhoE", "--include=*_test.go", "^func Test[A-Za-z0-9_]+", "../controlplane").Output()
	require.NoError(t, err)
	existing := strings.Fields(strings.ReplaceAll(string(out), "func ", ""))
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	run := regexp.MustCompile(`(?m)^ENVOY_TESTS *= (.*)$`).FindStringSubmatch(string(makefile))
	require.NotNil(t, run)
	named := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`(\\*?)").FindAllStringSubmatch(string(text), -1)
	require.Greater(t, len(named), 15)
	for _, match := range named {
		require.Contains(t, existing, match[1])
		if match[2] == "*" {
			require.Contains(t, strings.Split(run[1], "|"), strings.TrimPrefix(match[1], "Test"))
		}
	}
	for _, version := range envoy.Tested() {
		require.Contains(t, string(text), version)
	}
}
