// Package docs_test holds what the documents say about the code against the code.
package docs_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/lambda-dispatch/lambda-dispatch/"

// list runs go list and returns its lines.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

// outsiders are the packages that a package's binary would hold beyond the standard library.
func outsiders(t *testing.T, pattern string) []string {
	return list(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", module+pattern)
}

func TestTheCoreAndThePeerImportOnlyTheStandardLibrary(t *testing.T) {
	for pattern, own := range map[string]string{
		"lambdapeer":                          "lambdapeer",
		"lambdapeer/wire":                     "lambdapeer",
		"lambdapeer/cmd/lambdapeer":           "lambdapeer",
		"controlplane/internal/pool/...":      "controlplane/internal/",
		"controlplane/internal/scaler/...":    "controlplane/internal/",
		"controlplane/internal/bill/...":      "controlplane/internal/",
		"controlplane/internal/culprit/...":   "controlplane/internal/",
		"controlplane/internal/admission/...": "controlplane/internal/",
	} {
		for _, dependency := range outsiders(t, pattern) {
			require.True(t, strings.HasPrefix(dependency, module+own), "%s imports %s", pattern, dependency)
		}
	}
}

// The tables between leader and relay are a pure core as well, in the protocol's words.
func TestTheTablesAreMadeOfTheProtocolAlone(t *testing.T) {
	for _, dependency := range outsiders(t, "controlplane/internal/tables") {
		require.Contains(t, []string{module + "controlplane/internal/tables", module + "lambdapeer/wire"}, dependency)
	}
}

// The shell that decides and those who carry it out know the same small vocabularies, and not each other.
func TestTheShellKnowsNoEdge(t *testing.T) {
	const shell = "controlplane/internal/dispatch"
	edges := []string{"admin", "awslambda", "door", "extproc", "relay", "xds"}
	for _, dependency := range outsiders(t, shell) {
		for _, foreign := range []string{"envoyproxy", "google.golang.org/grpc", "google.golang.org/protobuf", "prometheus", "aws-sdk-go"} {
			require.NotContains(t, dependency, foreign, "%s imports it", shell)
		}
		for _, edge := range edges {
			require.NotEqual(t, module+"controlplane/internal/"+edge, dependency, "%s imports it", shell)
		}
	}
	for _, edge := range edges {
		require.NotContains(t, outsiders(t, "controlplane/internal/"+edge), module+shell, "%s imports it", edge)
	}
}

func TestLambdalocalImitatesLambdaAndKnowsNothingOfUs(t *testing.T) {
	for _, dependency := range outsiders(t, "lambdalocal/...") {
		if strings.HasPrefix(dependency, module) {
			require.True(t, strings.HasPrefix(dependency, module+"lambdalocal"), dependency)
		}
	}
}

func TestForeignTypesStayAtTheEdge(t *testing.T) {
	edges := map[string][]string{
		"github.com/aws/":                         {"controlplane/internal/awslambda", "controlplane/internal/lease/dynamo", "deploy/proof"},
		"go.opentelemetry.io/":                    {"controlplane/internal/tracing", "controlplane/internal/tracing/tracingtest"},
		"github.com/envoyproxy/go-control-plane/": {"controlplane/internal/xds", "controlplane/internal/extproc", "controlplane"},
	}
	packages := list(t, "-f", `{{.ImportPath}}={{join .Imports ","}}`, module+"...")
	for _, line := range packages {
		name, imports, _ := strings.Cut(line, "=")
		for _, imported := range strings.Split(imports, ",") {
			for foreign, allowed := range edges {
				if strings.HasPrefix(imported, foreign) {
					require.Contains(t, allowed, strings.TrimPrefix(name, module), "%s imports %s", name, imported)
				}
			}
		}
	}
}

// Every direct dependency has a reason.
func TestEveryDirectDependencyIsExplained(t *testing.T) {
	text, err := os.ReadFile("dependencies.md")
	require.NoError(t, err)
	for _, file := range []string{"../go.mod", "../.ci/tools/go.mod", "../.ci/alerts/go.mod", "../lambdalocal/conformance/gofunction/go.mod"} {
		mod, err := os.ReadFile(file)
		require.NoError(t, err)
		direct := regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1)
		for _, m := range direct {
			require.Contains(t, string(text), "`"+explained(m[1])+"`", "%s has no reason in dependencies.md", m[1])
		}
	}
}

// explained folds the modules of one SDK into its line.
func explained(path string) string {
	for _, sdk := range []string{"github.com/aws/aws-sdk-go-v2", "go.opentelemetry.io/otel"} {
		if strings.HasPrefix(path, sdk) {
			return sdk
		}
	}
	return path
}
