// Package deploy_test builds and starts what is deployed.
package deploy_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// files is what `make image-files` has built.
const files = "../build/image"

// buildah runs it without a daemon and without namespaces of its own.
func buildah(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("buildah", args...).CombinedOutput()
	require.NoError(t, err, "buildah %s:\n%s", strings.Join(args, " "), out)
	return string(out)
}

func image(t *testing.T, architecture, target string) string {
	t.Helper()
	name := "localhost/lambda-dispatch-test-" + architecture + target
	args := []string{"build", "--isolation", "chroot", "--platform", "linux/" + architecture, "-q", "-t", name, "-f", "Dockerfile"}
	if target != "" {
		args = append(args, "--target", target)
	}
	buildah(t, append(args, files)...)
	t.Cleanup(func() { _ = exec.Command("buildah", "rmi", "-f", name).Run() })
	return name
}

func requireFiles(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		t.Skip("no buildah here: the images are not tested")
	}
	if _, err := os.Stat(files + "/ca-certificates.crt"); err != nil {
		t.Skip("`make image-files` builds what goes into images, and has not: they are not tested")
	}
}

func TestLongImagesOfBothArchitectures(t *testing.T) {
	requireFiles(t)
	for _, architecture := range []string{"amd64", "arm64"} {
		var inspected struct {
			OCIv1 struct {
				Architecture string
				Config       struct {
					User       string
					Entrypoint []string
					Volumes    map[string]any
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(buildah(t, "inspect", "--type", "image", image(t, architecture, ""))), &inspected))
		require.Equal(t, architecture, inspected.OCIv1.Architecture)
		require.Equal(t, "101:101", inspected.OCIv1.Config.User)
		require.Equal(t, []string{"/lambda-dispatch"}, inspected.OCIv1.Config.Entrypoint)
		require.Contains(t, inspected.OCIv1.Config.Volumes, "/run/lambda-dispatch")
	}
}

// The program starts from nothing but its image, as its user: it may write to the state directory, and knows whom TLS trusts.
func TestLongTheImageStarts(t *testing.T) {
	requireFiles(t)
	container := strings.TrimSpace(buildah(t, "from", image(t, "amd64", "")))
	defer func() { _ = exec.Command("buildah", "rm", container).Run() }()
	in := func(args ...string) string {
		return buildah(t, append([]string{"run", "--isolation", "chroot", container, "--", "/lambda-dispatch"}, args...)...)
	}
	require.NotEmpty(t, strings.TrimSpace(in("version")))
	in("key", "new", "/run/lambda-dispatch/signing.key")

	mounted := strings.TrimSpace(buildah(t, "mount", container))
	info, err := os.Stat(mounted + "/etc/ssl/certs/ca-certificates.crt")
	require.NoError(t, err)
	require.Greater(t, info.Size(), int64(10_000))
	_, err = os.Stat(mounted + "/bin/sh")
	require.ErrorIs(t, err, os.ErrNotExist, "nothing else is in it")
}

func TestLongTheImageOfThePeerIsItsBinary(t *testing.T) {
	requireFiles(t)
	container := strings.TrimSpace(buildah(t, "from", image(t, "amd64", "lambdapeer")))
	defer func() { _ = exec.Command("buildah", "rm", container).Run() }()
	require.NotEmpty(t, strings.TrimSpace(buildah(t, "run", "--isolation", "chroot", container, "--", "/lambdapeer", "--version")))
}
