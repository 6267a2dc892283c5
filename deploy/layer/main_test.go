package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// layer builds lambdapeer and packs it.
func layer(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/lambdapeer", "github.com/lambda-dispatch/lambda-dispatch/lambdapeer/cmd/lambdapeer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, makeLayer(dir+"/lambdapeer", dir+"/layer.zip"))
	return dir + "/layer.zip"
}

// unpack does what Lambda does with a layer: files with the modes that the archive says.
func unpack(t *testing.T, path string) (dir string, modes map[string]string) {
	t.Helper()
	archive, err := zip.OpenReader(path)
	require.NoError(t, err)
	defer archive.Close()
	dir, modes = t.TempDir(), map[string]string{}
	for _, f := range archive.File {
		modes[f.Name] = f.Mode().String()
		in, err := f.Open()
		require.NoError(t, err)
		text, err := io.ReadAll(in)
		require.NoError(t, err)
		target := filepath.Join(dir, f.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(target), 0o755))
		require.NoError(t, os.WriteFile(target, text, f.Mode()))
	}
	return dir, modes
}

// A function of a managed runtime: its handler is a script that starts an HTTP server, and the layer does the rest.
func TestAFunctionFromAZipFileIsServedByTheLayer(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3 here to be the server")
	}
	opt, modes := unpack(t, layer(t))
	require.Equal(t, map[string]string{"extensions/lambdapeer": "-rwxr-xr-x", "lambdapeer-run": "-rwxr-xr-x"}, modes)

	code := t.TempDir()
	require.NoError(t, os.WriteFile(code+"/index.html", []byte("served by the function"), 0o644))
	require.NoError(t, os.WriteFile(code+"/run.sh", []byte("#!/bin/sh\nexec python3 -m http.server --bind 127.0.0.1 \"$PORT\"\n"), 0o755))
	f := lambdalocal.DefaultFunction("web")
	f.Command, f.Handler, f.Dir, f.Layers, f.Timeout = []string{opt + "/lambdapeer-run"}, "run.sh", code, []string{opt}, time.Minute
	cfg := lambdalocal.Default()
	cfg.Address, cfg.Functions = "127.0.0.1:0", []lambdalocal.Function{f}
	log := logrus.New()
	log.SetOutput(t.Output())
	s, err := lambdalocal.New(cfg, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-ended) }()

	event := `{"version":"2.0","rawPath":"/","headers":{"host":"web"},"requestContext":{"http":{"method":"GET","sourceIp":"203.0.113.7"}}}`
	response, err := http.Post(s.InvokeURL()+"/2015-03-31/functions/web/invocations", "application/json", strings.NewReader(event))
	require.NoError(t, err)
	defer response.Body.Close()
	require.Empty(t, response.Header.Get("X-Amz-Function-Error"))
	var answer struct {
		StatusCode int
		Body       string
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, "served by the function", answer.Body)
}
