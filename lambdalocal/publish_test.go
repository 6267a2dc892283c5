package lambdalocal_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// bootstrap is code whose colour its own folder says.
func bootstrap(t *testing.T, colour string) string {
	t.Helper()
	return fmt.Sprintf("#!/bin/sh\nCOLOUR=%s exec $HELPER runtime\n", colour)
}

func writeCode(t *testing.T, dir, colour string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bootstrap"), []byte(bootstrap(t, colour)), 0o755))
}

// runFolder runs a function whose code is in a folder, and red.
func runFolder(t *testing.T) (m *machine, dir string) {
	dir = t.TempDir()
	writeCode(t, dir, "red")
	m = run(t, "runtime", func(f *lambdalocal.Function) {
		f.Env["HELPER"] = f.Command[0]
		f.Dir, f.Command = dir, []string{"./bootstrap"}
		f.Aliases = []lambdalocal.Alias{{Name: "live", Version: "$LATEST"}}
	})
	return m, dir
}

// colour is what an invocation of the qualifier finds, and which version that is.
func (m *machine) colour(qualifier string) (colour, version string) {
	m.t.Helper()
	out, err := m.qualified(qualifier, order{Do: "environ"})
	require.NoError(m.t, err)
	require.Nil(m.t, out.FunctionError, string(out.Payload))
	var vars map[string]string
	require.NoError(m.t, json.Unmarshal(out.Payload, &vars))
	require.Equal(m.t, aws.ToString(out.ExecutedVersion), vars["AWS_LAMBDA_FUNCTION_VERSION"])
	return vars["COLOUR"], aws.ToString(out.ExecutedVersion)
}

func (m *machine) expectColour(qualifier, colour, version string) {
	m.t.Helper()
	c, v := m.colour(qualifier)
	require.Equal(m.t, colour+" "+version, c+" "+v)
}

// publish publishes what is on disk, in one call.
func (m *machine) publish() string {
	m.t.Helper()
	out, err := m.client.UpdateFunctionCode(context.Background(), &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("web"), Publish: true})
	require.NoError(m.t, err)
	require.Equal(m.t, types.LastUpdateStatusSuccessful, out.LastUpdateStatus)
	return aws.ToString(out.Version)
}

func (m *machine) moveAlias(to string, weights map[string]float64) {
	m.t.Helper()
	_, err := m.client.UpdateAlias(context.Background(), &lambda.UpdateAliasInput{
		FunctionName: aws.String("web"), Name: aws.String("live"), FunctionVersion: aws.String(to),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights},
	})
	require.NoError(m.t, err)
}

func TestChangedCodeIsPublishedByOneCall(t *testing.T) {
	t.Parallel()
	m, dir := runFolder(t)
	m.expectColour("$LATEST", "red", "$LATEST")
	require.Equal(t, "1", m.publish())
	require.Equal(t, "1", m.publish(), "nothing has changed")

	writeCode(t, dir, "blue")
	m.expectColour("1", "red", "1")
	require.Equal(t, "2", m.publish())
	m.expectColour("2", "blue", "2")
	m.expectColour("$LATEST", "blue", "$LATEST")
	for _, e := range m.Environments() {
		require.True(t, m.Retire(e.ID))
	}
	m.expectColour("1", "red", "1") // anew, from the copy of its code
}

func TestAnAliasMoves(t *testing.T) {
	t.Parallel()
	m, dir := runFolder(t)
	m.publish()
	m.moveAlias("1", nil)
	m.expectColour("live", "red", "1")
	writeCode(t, dir, "blue")
	m.publish()
	m.expectColour("live", "red", "1")

	m.moveAlias("2", nil)
	m.expectColour("live", "blue", "2")
	frozen := map[string]int{}
	for _, e := range m.Environments() {
		if e.State == lambdalocal.StateFrozen {
			frozen[e.Version]++
		}
	}
	require.Equal(t, map[string]int{"1": 1, "2": 1}, frozen, "the old version's environment is kept")

	m.moveAlias("2", map[string]float64{"1": 0.5})
	seen := map[string]bool{}
	for i := 0; len(seen) < 2; i++ {
		require.Less(t, i, 60)
		_, version := m.colour("live")
		seen[version] = true
	}
	alias, err := m.client.GetAlias(context.Background(), &lambda.GetAliasInput{FunctionName: aws.String("web"), Name: aws.String("live")})
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"1": 0.5}, alias.RoutingConfig.AdditionalVersionWeights)
	m.moveAlias("1", map[string]float64{})
	m.expectColour("live", "red", "1")
}

// What is under way when the code changes ends as it began. Nothing of the old code is used again.
func TestNewCodeReplacesLatest(t *testing.T) {
	t.Parallel()
	m, dir := runFolder(t)
	m.expectColour("$LATEST", "red", "$LATEST")
	answered := make(chan *lambda.InvokeOutput)
	go func() {
		out, err := m.qualified("$LATEST", order{Do: "sleep", Ms: 500})
		require.NoError(t, err)
		answered <- out
	}()
	require.Eventually(t, func() bool { return m.Environments()[0].State == lambdalocal.StateBusy }, soon, time.Millisecond)
	writeCode(t, dir, "blue")
	_, err := m.client.UpdateFunctionCode(context.Background(), &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("web")})
	require.NoError(t, err)
	m.expectColour("$LATEST", "blue", "$LATEST")
	require.Nil(t, (<-answered).FunctionError)
	require.Eventually(t, func() bool { return len(m.Environments()) == 1 }, soon, time.Millisecond, "the red one ends")
	m.expectColour("$LATEST", "blue", "$LATEST")
	require.Equal(t, 2, m.Counters("web").Cold)
}

func TestCodeComesAsAnArchiveOrAFolder(t *testing.T) {
	t.Parallel()
	m, _ := runFolder(t)
	ctx := context.Background()
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	h := &zip.FileHeader{Name: "bootstrap"}
	h.SetMode(0o755)
	f, err := w.CreateHeader(h)
	require.NoError(t, err)
	_, err = f.Write([]byte(bootstrap(t, "green")))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	out, err := m.client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("web"), ZipFile: archive.Bytes()})
	require.NoError(t, err)
	require.NotEmpty(t, aws.ToString(out.CodeSha256))
	m.expectColour("$LATEST", "green", "$LATEST")

	other := t.TempDir()
	writeCode(t, other, "blue")
	_, err = m.client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{
		FunctionName: aws.String("web"), S3Bucket: aws.String("local"), S3Key: aws.String(other),
	})
	require.NoError(t, err)
	m.expectColour("$LATEST", "blue", "$LATEST")
}

func TestConfigurationIsUpdatedAndPublished(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	ctx, web := context.Background(), aws.String("web")
	first, err := m.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: web, Description: aws.String("the first")})
	require.NoError(t, err)
	require.Equal(t, "1 the first", aws.ToString(first.Version)+" "+aws.ToString(first.Description))
	require.Equal(t, webARN+":1", aws.ToString(first.FunctionArn))
	vars := map[string]string{"COLOUR": "red"}
	for k, v := range first.Environment.Variables {
		vars[k] = v
	}
	changed, err := m.client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: web, Timeout: aws.Int32(7), MemorySize: aws.Int32(512), EphemeralStorage: &types.EphemeralStorage{Size: aws.Int32(600)},
		Environment: &types.Environment{Variables: vars},
	})
	require.NoError(t, err)
	require.EqualValues(t, 7, *changed.Timeout)
	require.EqualValues(t, 600, *changed.EphemeralStorage.Size)
	require.EqualValues(t, 512, *first.EphemeralStorage.Size)
	m.expectColour("$LATEST", "red", "$LATEST")
	m.expectColour("1", "", "1")
	second, err := m.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: web})
	require.NoError(t, err)
	require.Equal(t, "2", aws.ToString(second.Version))
	m.expectColour("2", "red", "2")
	require.Equal(t, 512, m.Ledger().Functions[0].MemoryMB)

	_, err = m.client.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: web, Name: aws.String("live"), FunctionVersion: aws.String("1")})
	require.NoError(t, err)
	m.expectColour("live", "", "1")
	_, err = m.client.DeleteAlias(ctx, &lambda.DeleteAliasInput{FunctionName: web, Name: aws.String("live")})
	require.NoError(t, err)
	_, err = m.qualified("live", order{})
	require.ErrorContains(t, err, "Function not found")
}

func TestAnotherProgramIsAnotherVersion(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) { f.Env["HELPER"] = f.Command[0] })
	dir := t.TempDir()
	writeCode(t, dir, "blue")
	_, err := m.client.UpdateFunctionConfiguration(context.Background(), &lambda.UpdateFunctionConfigurationInput{
		FunctionName: aws.String("web"), ImageConfig: &types.ImageConfig{Command: []string{"./bootstrap"}, WorkingDirectory: aws.String(dir)},
	})
	require.NoError(t, err)
	m.expectColour("$LATEST", "blue", "$LATEST")
}

func TestMistakesInVersionsAreRefused(t *testing.T) {
	t.Parallel()
	m, _ := runFolder(t)
	m.publish()
	ctx, web, live := context.Background(), aws.String("web"), aws.String("live")
	update := func(version string, weights map[string]float64) error {
		_, err := m.client.UpdateAlias(ctx, &lambda.UpdateAliasInput{
			FunctionName: web, Name: live, FunctionVersion: aws.String(version),
			RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights},
		})
		return err
	}
	code := func(in lambda.UpdateFunctionCodeInput) error {
		in.FunctionName = web
		_, err := m.client.UpdateFunctionCode(ctx, &in)
		return err
	}
	configure := func(in lambda.UpdateFunctionConfigurationInput) error {
		in.FunctionName = cmp.Or(in.FunctionName, web)
		_, err := m.client.UpdateFunctionConfiguration(ctx, &in)
		return err
	}
	variables := func(name, value string) lambda.UpdateFunctionConfigurationInput {
		return lambda.UpdateFunctionConfigurationInput{Environment: &types.Environment{Variables: map[string]string{name: value}}}
	}
	_, taken := m.client.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: web, Name: live, FunctionVersion: aws.String("1")})
	_, number := m.client.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: web, Name: aws.String("7"), FunctionVersion: aws.String("1")})
	_, described := m.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: web, Description: aws.String(strings.Repeat("x", 257))})
	_, aliased := m.client.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: web, Name: live, Description: aws.String(strings.Repeat("x", 257))})
	_, other := m.client.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: web, Name: aws.String("dead")})
	_, sum := m.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: web, CodeSha256: aws.String("x")})
	for _, tt := range []struct {
		err  error
		kind string
	}{
		{update("9", nil), "ResourceNotFoundException"},
		{update("first", nil), "Value 'first' at 'functionVersion'"},
		{update("1", map[string]float64{"9": 0.1}), "ResourceNotFoundException"},
		{update("1", map[string]float64{"1": 0.1}), "InvalidParameterValueException"},
		{update("$LATEST", map[string]float64{"1": 0.1}), "InvalidParameterValueException"},
		{update("1", map[string]float64{"2": 0.1, "3": 0.1}), "cannot be greater than 1"},
		{configure(lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("web:1")}), "not of a version or alias: 1"},
		{configure(variables("AWS_REGION", "x")), "Reserved keys used in this request: AWS_REGION"},
		{configure(variables("a=b", "x")), `"a=b" is not a name`},
		{configure(variables("_A", "x")), `"_A" is not a name`},
		{configure(variables("LARGE", strings.Repeat("x", 4085))), "exceeded the 4KB limit"},
		{configure(lambda.UpdateFunctionConfigurationInput{EphemeralStorage: &types.EphemeralStorage{Size: aws.Int32(511)}}), "greater than or equal to 512"},
		{taken, "ResourceConflictException"},
		{number, "ValidationException: 1 validation error detected: Value '7' at 'name'"},
		{other, "ResourceNotFoundException"},
		{sum, "InvalidParameterValueException"},
		{
			configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(901)}),
			"ValidationException: 1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900",
		},
		{configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(0)}), "at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{configure(lambda.UpdateFunctionConfigurationInput{MemorySize: aws.Int32(10241)}), "less than or equal to 10240"},
		{configure(lambda.UpdateFunctionConfigurationInput{Description: aws.String(strings.Repeat("é", 257))}), "must have length less than or equal to 256"},
		{configure(lambda.UpdateFunctionConfigurationInput{Handler: aws.String(strings.Repeat("x", 129))}), "must have length less than or equal to 128"},
		{configure(lambda.UpdateFunctionConfigurationInput{Handler: aws.String("a b")}), "at 'handler'"},
		{described, "at 'description'"},
		{aliased, "at 'description'"},
		{code(lambda.UpdateFunctionCodeInput{ZipFile: []byte("text")}), "Could not unzip"},
		{code(lambda.UpdateFunctionCodeInput{ImageUri: aws.String("x")}), "runs no images"},
		{code(lambda.UpdateFunctionCodeInput{S3Bucket: aws.String("mine"), S3Key: aws.String("x")}), `knows "local" only`},
		{code(lambda.UpdateFunctionCodeInput{S3Bucket: aws.String("local"), S3Key: aws.String("nowhere")}), "is not a folder"},
	} {
		require.ErrorContains(t, tt.err, tt.kind)
	}
	m.expectColour("live", "red", "$LATEST")
}

// A tool that read the function or the alias before somebody else changed it is told so.
func TestAnOldRevisionIsRefused(t *testing.T) {
	t.Parallel()
	m, dir := runFolder(t)
	ctx, web, live := context.Background(), aws.String("web"), aws.String("live")
	read, err := m.client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: web})
	require.NoError(t, err)
	alias, err := m.client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: web, Name: live})
	require.NoError(t, err)
	for _, r := range []struct {
		what string
		id   *string
		try  func(revision *string) (next *string, err error)
	}{
		{"publish", read.RevisionId, func(revision *string) (*string, error) {
			out, err := m.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: web, RevisionId: revision})
			if err != nil {
				return nil, err
			}
			require.NotEqual(t, aws.ToString(read.RevisionId), aws.ToString(out.RevisionId), "the version's own")
			return read.RevisionId, nil
		}},
		{"code", read.RevisionId, func(revision *string) (*string, error) {
			for _, dry := range []bool{true, false} {
				out, err := m.client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{
					FunctionName: web, S3Bucket: aws.String("local"), S3Key: aws.String(dir), DryRun: dry, RevisionId: revision,
				})
				if err != nil {
					return nil, err
				}
				read.RevisionId = out.RevisionId
			}
			return read.RevisionId, nil
		}},
		{"alias", alias.RevisionId, func(revision *string) (*string, error) {
			out, err := m.client.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: web, Name: live, Description: aws.String("x"), RevisionId: revision})
			if err != nil {
				return nil, err
			}
			return out.RevisionId, nil
		}},
	} {
		require.NotEmpty(t, aws.ToString(r.id), r.what)
		_, err := r.try(aws.String("11111111-1111-4111-a111-111111111111"))
		var old *types.PreconditionFailedException
		require.ErrorAs(t, err, &old, r.what)
		next, err := r.try(r.id)
		require.NoError(t, err, r.what)
		require.NotEmpty(t, aws.ToString(next), r.what)
		if r.what != "publish" {
			_, err = r.try(r.id)
			require.ErrorAs(t, err, &old, r.what)
		}
		_, err = r.try(next)
		require.NoError(t, err, r.what)
	}
	stale := read.RevisionId
	set := func(revision *string) (*lambda.UpdateFunctionConfigurationOutput, error) {
		return m.client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: web, Timeout: aws.Int32(5), RevisionId: revision})
	}
	_, err = set(stale)
	require.NoError(t, err)
	_, err = set(stale)
	require.ErrorContains(t, err, "PreconditionFailedException")
}
