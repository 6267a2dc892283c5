package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/dynamo/dynamotest"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

// oneHost and split are configurations of one and of several hosts. What a host adds is in the tests.
const (
	oneHost = `aws: {region: eu-central-1}
functions: [{name: web, routes: [{path: /web}]}]
relay: {apart: true, advertise: 'relay.example.com:7443'}
`
	split = oneHost + `cell: {control_planes: ["a.example.com:7444", "b.example.com:7444"]}
`
)

// A pair's host needs what cert pair writes, and not the secret.
func TestAPairIsGivenWhatItsHostNeeds(t *testing.T) {
	dir := t.TempDir()
	secret, out := filepath.Join(dir, "keys", "secret"), filepath.Join(dir, "pair")
	_, _, err := try(t, "secret", "new", secret)
	require.NoError(t, err)
	info, err := os.Stat(secret)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, _, err = try(t, "secret", "new", secret)
	require.ErrorContains(t, err, "file exists")

	cfg := file(t, split)
	_, _, err = try(t, "cert", "pair", "--name", "pair-1", "--out", out, "--set", "cell.secret_file="+secret, "--set", "lease.store=dynamodb", "--set", "lease.table=leases", cfg)
	require.NoError(t, err)
	contents, err := os.ReadFile(secret)
	require.NoError(t, err)
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Len(t, entries, 7)
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(out, entry.Name()))
		require.NoError(t, err)
		require.NotContains(t, string(text), string(contents[:40]), "the secret stays where it is: %s", entry.Name())
		info, err := entry.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), entry.Name())
	}
	stdout, _, err := try(t, "check", "--set", "cell.certificate_file="+out+"/relay.pem", "--set", "cell.key_file="+out+"/relay.pem", "--set", "cell.ca_file="+out+"/ca.pem",
		"--set", "cell.token_key_file="+out+"/token.key", "--set", "lease.store=dynamodb", "--set", "lease.table=leases", "--set", "lease.region=eu-central-1",
		"--set", "lease.endpoint=http://127.0.0.1:9", cfg)
	require.NoError(t, err)
	require.Contains(t, stdout, "not checked with DynamoDB")

	bootstrap, err := os.ReadFile(filepath.Join(out, "bootstrap.yaml"))
	require.NoError(t, err)
	require.NoError(t, envoy.Validate(t.Context(), envoytest.Binary(t), bootstrap))
}

// Where no file can be mounted the secret is a variable.
func TestAPairIsMadeOfASecretInAVariable(t *testing.T) {
	t.Setenv("OUR_SECRET", "a secret that is long enough for a cell")
	out := t.TempDir()
	cfg := file(t, split+"lease: {store: dynamodb, table: leases}\n")
	_, _, err := try(t, "cert", "pair", "--name", "pair-1", "--out", out, "--set", "cell.secret_file=env:OUR_SECRET", cfg)
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(out, "relay.pem"))
}

func TestMistakesWithPairs(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	_, _, err := try(t, "secret", "new", secret)
	require.NoError(t, err)
	cfg := file(t, oneHost)
	with := []string{"--set", "cell.secret_file=" + secret}
	pair := func(args ...string) []string { return append(append([]string{"cert", "pair"}, args...), cfg) }
	for want, args := range map[string][]string{
		"cert: a command is missing: pair": {"cert"},
		"secret: a command is missing":     {"secret"},
		"--name NAME and --out DIR":        pair(with...),
		"cell.secret_file: is not set":     pair("--name", "p", "--out", t.TempDir()),
		"cell.control_planes: is not set":  pair(append(with, "--name", "p", "--out", t.TempDir())...),
	} {
		_, _, err := try(t, args...)
		require.ErrorContains(t, err, want)
	}
}

// What is wrong with a table is said before a control plane is started, and when it is.
func TestALeaseThatCannotBeUsedIsNamed(t *testing.T) {
	e := dynamotest.Start(t)
	dir, _ := stateDir(t)
	with := func(command, table string) []string {
		return []string{
			command, "--set", "lease.store=dynamodb", "--set", "lease.endpoint=" + e.URL, "--set", "lease.table=" + table,
			"--set", "state_dir=" + dir, "--set", "admin.address=127.0.0.1:0", file(t, oneHost),
		}
	}
	stdout, _, err := try(t, with("check", dynamotest.Table)...)
	require.NoError(t, err)
	require.Contains(t, stdout, "has the lease's table, and answers")
	for _, command := range []string{"check", "run"} {
		_, _, err = try(t, with(command, "none-such")...)
		require.EqualError(t, err, "lease.store: dynamodb: table none-such in eu-central-1: there is no such table")
	}
}
