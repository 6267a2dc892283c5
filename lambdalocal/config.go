package lambdalocal

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A Config is the whole of a Server's configuration.
type Config struct {
	Address string `yaml:"address"` // host:port of the Invoke API
	// Hosts are names by which the Invoke API may be called, beside localhost and IP addresses; *.example.com for all below.
	Hosts     []string `yaml:"hosts"`
	Region    string   `yaml:"region"`
	AccountID string   `yaml:"account_id"`
	// AccountConcurrency is how many invocations of all functions may be in progress at once.
	AccountConcurrency int        `yaml:"account_concurrency"`
	Isolation          string     `yaml:"isolation"`    // auto: environments see nothing of each other where the kernel permits; or off
	ScalingRate        int        `yaml:"scaling_rate"` // new environments of one function in 10 s
	Direct             Direct     `yaml:"direct"`
	Prices             Prices     `yaml:"prices"`
	Functions          []Function `yaml:"functions"`
	Links              []Link     `yaml:"links"`
	Faults             []Fault    `yaml:"faults"`     // in force from the start
	FaultSeed          uint64     `yaml:"fault_seed"` // of the faults' probabilities; 0: another one each time
}

// Direct configures the front end that makes one invocation of each HTTP request, as a function URL does.
type Direct struct {
	Address string `yaml:"address"` // host:port; empty: none
}

// Prices are what the ledger charges, in dollars.
type Prices struct {
	MillionRequests float64 `yaml:"million_requests"`
	GBSecondX86     float64 `yaml:"gb_second_x86"`
	GBSecondARM     float64 `yaml:"gb_second_arm"`

	// Of Managed Instances: a million requests, the fee for each dollar of EC2, and an hour of two vCPUs of EC2's families.
	ManagedRequests float64 `yaml:"managed_million_requests"`
	ManagedFee      float64 `yaml:"managed_fee"`
	EC2HourCX86     float64 `yaml:"ec2_hour_c_x86"`
	EC2HourCARM     float64 `yaml:"ec2_hour_c_arm"`
	EC2HourMX86     float64 `yaml:"ec2_hour_m_x86"`
	EC2HourMARM     float64 `yaml:"ec2_hour_m_arm"`
	EC2HourRX86     float64 `yaml:"ec2_hour_r_x86"`
	EC2HourRARM     float64 `yaml:"ec2_hour_r_arm"`
}

// A Function is what Lambda knows of one, and how it runs on this machine. Command and extensions run in Dir with Lambda's
// variables and Env; {port} in arguments and values becomes the environment's own port, which is in PORT as well.
type Function struct {
	Name string `yaml:"name"`
	// Command is the runtime, a bootstrap say, or any program if an extension calls the Runtime API for it.
	Command    []string    `yaml:"command"`
	Extensions []Extension `yaml:"extensions"`
	// Processes are argument lists of programs beside the command that call none of Lambda's APIs: an app, say, whose peer is
	// the command. In Lambda the command would start them.
	Processes   [][]string        `yaml:"processes"`
	Dir         string            `yaml:"dir"` // in a file relative to the file; empty: where the file is
	Env         map[string]string `yaml:"env"`
	Handler     string            `yaml:"handler"` // handed to the function as _HANDLER
	Timeout     time.Duration     `yaml:"timeout"`
	InitTimeout time.Duration     `yaml:"init_timeout"`
	MemoryMB    int               `yaml:"memory_mb"`
	// EnforceMemory ends the processes of an environment that together hold more than MemoryMB. True: also where lambdalocal
	// must measure that itself. False: never. Nil: only where the kernel counts it.
	EnforceMemory *bool    `yaml:"enforce_memory"`
	Layers        []string `yaml:"layers"` // folders that become /opt, the later ones above; relative as Dir
	EphemeralMB   int      `yaml:"ephemeral_storage_mb"`
	Limits        Limits   `yaml:"limits"`
	Architecture  string   `yaml:"architecture"` // x86_64 or arm64: decides the price, nothing else
	// ReservedConcurrency is how many invocations may be in progress at once, whatever other functions do; the others share
	// what is left of the account's. Nil: the function is one of the others.
	ReservedConcurrency *int `yaml:"reserved_concurrency"`
	// InvokeMode says how the direct front end answers for the function: buffered, or response_stream as its parts come.
	InvokeMode     string    `yaml:"invoke_mode"`
	ColdStartDelay Span      `yaml:"cold_start_delay"` // before init, not billed
	IdleExpiry     Span      `yaml:"idle_expiry"`      // after which an idle environment is shut down
	Events         Events    `yaml:"events"`
	Managed        *Managed  `yaml:"managed"` // nil: on Lambda's own machines
	Versions       []Version `yaml:"versions"`
	Aliases        []Alias   `yaml:"aliases"`
}

// Limits are those of an environment; 0 is the machine's.
type Limits struct {
	OpenFiles int `yaml:"open_files"` // of each process
	Processes int `yaml:"processes"`  // of all together, threads included, where the kernel counts them
}

// An Extension is a program that registers with the Extensions API under its name. In a file it may be its argument list
// alone, and is then named after the program; one that an interpreter runs has its file's name in Lambda, and needs a name
// here.
type Extension struct {
	Name    string   `yaml:"name"`
	Command []string `yaml:"command"`
}

// Program is an extension that runs a program, or a script with a #! line, with arguments. Its name is the program's base name.
func Program(argv ...string) Extension {
	return Extension{Name: filepath.Base(argv[0]), Command: argv}
}

// Events says how often an asynchronous invocation is tried.
type Events struct {
	MaxAge        time.Duration `yaml:"max_age"`        // then it is dropped
	MaxRetries    int           `yaml:"max_retries"`    // after errors of the function
	RetryDelay    time.Duration `yaml:"retry_delay"`    // before the first of these, twice that before the second
	ThrottleDelay time.Duration `yaml:"throttle_delay"` // after a throttle; doubles with each in a row, up to 300 times it
}

// A Version is a published version of the function. Its fields override the function's own.
type Version struct {
	Name    string            `yaml:"name"`    // a number
	Command []string          `yaml:"command"` // empty: the function's
	Env     map[string]string `yaml:"env"`     // over the function's
	// ProvisionedConcurrency is how many environments are initialised ahead and kept.
	ProvisionedConcurrency int `yaml:"provisioned_concurrency"`
}

// An Alias is a name for a version. Others may get a part of its invocations, between 0 and 1, by their weight.
type Alias struct {
	Name    string             `yaml:"name"`
	Version string             `yaml:"version"`
	Weights map[string]float64 `yaml:"weights"`
}

// Default is a configuration without functions. Its limits are an account's defaults, and its prices those of us-east-1.
func Default() Config {
	return Config{
		Address: "127.0.0.1:9001", Region: "us-east-1", AccountID: "000000000000", AccountConcurrency: 1000, ScalingRate: 1000,
		Isolation: IsolationAuto,
		Prices: Prices{
			MillionRequests: 0.20, GBSecondX86: 0.0000166667, GBSecondARM: 0.0000133334,
			ManagedRequests: 0.20, ManagedFee: 0.15, EC2HourCX86: 0.08925, EC2HourCARM: 0.0725,
			EC2HourMX86: 0.1008, EC2HourMARM: 0.0816, EC2HourRX86: 0.1323, EC2HourRARM: 0.1071,
		},
	}
}

// Values of Config.Isolation.
const (
	IsolationAuto = "auto"
	IsolationOff  = "off"
)

// Invoke modes of a function's URL.
const (
	Buffered       = "buffered"
	ResponseStream = "response_stream"
)

// DefaultFunction is a function without a command. Timeout, memory and the handling of events are Lambda's own defaults. A cold
// start takes as long as the programs do (assumed: invoke-cold), and an environment lives as long as people report of Lambda
// (assumed: idle-life).
func DefaultFunction(name string) Function {
	return Function{
		Name: name, Timeout: 3 * time.Second, InitTimeout: 10 * time.Second, MemoryMB: 128, Architecture: "x86_64", InvokeMode: Buffered,
		EphemeralMB: 512, Limits: Limits{OpenFiles: 1024, Processes: 1024},
		ColdStartDelay: Fixed(0), IdleExpiry: Span{Min: 5 * time.Minute, Max: 15 * time.Minute},
		Events: Events{MaxAge: 6 * time.Hour, MaxRetries: 2, RetryDelay: time.Minute, ThrottleDelay: time.Second},
	}
}

// Load reads a YAML file over the defaults. The error names all unknown keys and all values of a wrong form, with path and
// line. It does not validate.
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
		for j, layer := range cfg.Functions[i].Layers {
			if !filepath.IsAbs(layer) {
				cfg.Functions[i].Layers[j] = filepath.Join(base, layer)
			}
		}
	}
	return cfg, nil
}
