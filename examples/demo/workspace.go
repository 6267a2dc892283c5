package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/local"
)

//go:embed controlplane.yaml
var controlPlaneYAML string

// A workspace is one demo: its configurations, and a directory for them and for sockets, of which nothing stays.
type workspace struct {
	addresses
	dir       string
	local     []byte   // lambdalocal's configuration
	control   []byte   // the control plane's
	functions []string // that this machine can run
	notes     []string // why others are left out
}

func newWorkspace(a addresses) (*workspace, error) {
	dir, err := local.MakeDir()
	if err != nil {
		return nil, fmt.Errorf("workspace: %w", err)
	}
	w := &workspace{addresses: a, dir: dir}
	if err := w.write(); err != nil {
		w.remove()
		return nil, fmt.Errorf("workspace: %w", err)
	}
	return w, nil
}

func (w *workspace) remove() { _ = os.RemoveAll(w.dir) }

// write makes both configurations.
func (w *workspace) write() (err error) {
	if w.local, err = w.lambdalocal(); err != nil {
		return err
	}
	w.control, err = w.controlPlane()
	return err
}

// controlPlane is the file beside this one with this demo's addresses and without the functions that cannot run here.
func (w *workspace) controlPlane() ([]byte, error) {
	text := strings.NewReplacer("127.0.0.1:8080", w.front, "127.0.0.1:9001", w.lambda).Replace(controlPlaneYAML)
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return nil, err
	}
	config["functions"] = slices.DeleteFunc(config["functions"].([]any), func(function any) bool {
		return !slices.Contains(w.functions, function.(map[string]any)["name"].(string))
	})
	return yaml.Marshal(config)
}

// localFunction is what lambdalocal is told about one function.
type localFunction struct {
	Name           string     `yaml:"name"`
	Command        []string   `yaml:"command"`
	Extensions     [][]string `yaml:"extensions,omitempty"`
	Timeout        string     `yaml:"timeout"`
	MemoryMB       int        `yaml:"memory_mb"`
	ColdStartDelay string     `yaml:"cold_start_delay"`
	Versions       []version  `yaml:"versions,omitempty"`
	Aliases        []alias    `yaml:"aliases,omitempty"`
}

type version struct {
	Name string `yaml:"name"`
}

type alias struct {
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
}

// lambdalocal describes the three functions: one built with the library, two plain HTTP servers with the lambdapeer
// binary beside them, as an extension.
func (w *workspace) lambdalocal() ([]byte, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	peer := [][]string{{filepath.Join(root, "build/lambdapeer")}}
	library := describe("go", nil, filepath.Join(root, "build/example-go"))
	library.Versions, library.Aliases = []version{{"1"}, {"2"}}, []alias{{"live", "1"}}
	functions := []localFunction{library}
	w.functions = []string{"go"}
	for _, script := range []struct{ name, program, file string }{
		{"node", "node", "examples/node/server.mjs"},
		{"python", "python3", "examples/python/server.py"},
	} {
		program, err := exec.LookPath(script.program)
		if err != nil {
			w.notes = append(w.notes, fmt.Sprintf("/%s is left out: no %s on the PATH", script.name, script.program))
			continue
		}
		functions = append(functions, describe(script.name, peer, program, filepath.Join(root, script.file)))
		w.functions = append(w.functions, script.name)
	}
	return yaml.Marshal(map[string]any{"address": w.lambda, "functions": functions})
}

func describe(name string, extensions [][]string, command ...string) localFunction {
	return localFunction{
		Name: name, Command: command, Extensions: extensions, Timeout: "15m", MemoryMB: 512, ColdStartDelay: "200ms",
	}
}
