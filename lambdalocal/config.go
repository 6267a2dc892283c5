package lambdalocal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Config is the whole of a Server's configuration.
type Config struct {
	Address   string     `yaml:"address"` // host:port of the Invoke API
	Region    string     `yaml:"region"`
	AccountID string     `yaml:"account_id"`
	Functions []Function `yaml:"functions"`
	Links     []Link     `yaml:"links"`
	Faults    []Fault    `yaml:"faults"`     // in force from the start
	FaultSeed uint64     `yaml:"fault_seed"` // of the faults' probabilities; 0: another one each time
}

// A Function is what Lambda knows of one, and how it runs on this machine. Command and extensions run in Dir with Lambda's
// variables and Env; {port} in arguments and values becomes the environment's own port, which is in PORT as well.
type Function struct {
	Name string `yaml:"name"`
	// Command is the runtime, a bootstrap say, or any program if an extension calls the Runtime API for it.
	Command []string `yaml:"command"`
	// Extensions are argument lists, each started as an external extension. Its name is the program's base name.
	Extensions     [][]string        `yaml:"extensions"`
	Dir            string            `yaml:"dir"` // in a file relative to the file; empty: where the file is
	Env            map[string]string `yaml:"env"`
	Handler        string            `yaml:"handler"` // handed to the function as _HANDLER
	Timeout        time.Duration     `yaml:"timeout"`
	InitTimeout    time.Duration     `yaml:"init_timeout"`
	MemoryMB       int               `yaml:"memory_mb"`
	MaxConcurrency int               `yaml:"max_concurrency"`
	ColdStartDelay Span              `yaml:"cold_start_delay"` // before init, not billed
	IdleExpiry     Span              `yaml:"idle_expiry"`      // life of an idle environment
}

// A Span is a range of durations, chosen from evenly. In YAML it is one duration, or min and max.
type Span struct {
	Min time.Duration `yaml:"min"`
	Max time.Duration `yaml:"max"`
}

// Fixed is the span of one duration.
func Fixed(d time.Duration) Span { return Span{Min: d, Max: d} }

func (s Span) pick() time.Duration {
	return s.Min + rand.N(s.Max-s.Min+1)
}

// Default is a configuration without functions.
func Default() Config {
	return Config{Address: "127.0.0.1:9001", Region: "us-east-1", AccountID: "000000000000"}
}

// DefaultFunction is a function without a command. Timeout and memory are Lambda's own defaults.
func DefaultFunction(name string) Function {
	return Function{
		Name: name, Timeout: 3 * time.Second, InitTimeout: 10 * time.Second, MemoryMB: 128, MaxConcurrency: 100,
		ColdStartDelay: Fixed(0), IdleExpiry: Fixed(5 * time.Minute),
	}
}

// Load reads a YAML file over the defaults. Unknown keys are errors. It does not validate.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	cfg, err := parse(text)
	if err != nil {
		return Config{}, fmt.Errorf("config %s: %w", path, err)
	}
	base := filepath.Dir(path)
	for i := range cfg.Functions {
		if f := &cfg.Functions[i]; !filepath.IsAbs(f.Dir) {
			f.Dir = filepath.Join(base, f.Dir)
		}
	}
	return cfg, nil
}

func parse(text []byte) (Config, error) {
	cfg := Default()
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&cfg); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, err
	}
	return cfg, nil
}

// UnmarshalYAML starts from the defaults.
func (f *Function) UnmarshalYAML(node *yaml.Node) error {
	type plain Function
	*f = DefaultFunction("")
	if err := unknownKeys(node, reflect.TypeFor[Function]()); err != nil {
		return err
	}
	return node.Decode((*plain)(f))
}

// UnmarshalYAML takes a duration, or min and max.
func (s *Span) UnmarshalYAML(node *yaml.Node) error {
	type plain Span
	if node.Kind == yaml.ScalarNode {
		err := node.Decode(&s.Min)
		s.Max = s.Min
		return err
	}
	if err := unknownKeys(node, reflect.TypeFor[Span]()); err != nil {
		return err
	}
	return node.Decode((*plain)(s))
}

// unknownKeys does what KnownFields does not do inside an UnmarshalYAML.
func unknownKeys(node *yaml.Node, of reflect.Type) error {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	known := map[string]bool{}
	for field := range of.Fields() {
		known[field.Tag.Get("yaml")] = true
	}
	var unknown []string
	for i := 0; i < len(node.Content); i += 2 {
		if key := node.Content[i]; !known[key.Value] {
			unknown = append(unknown, fmt.Sprintf("line %d: unknown key %q", key.Line, key.Value))
		}
	}
	if unknown != nil {
		return errors.New(strings.Join(unknown, "; "))
	}
	return nil
}
