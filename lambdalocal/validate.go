package lambdalocal

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/account"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
)

var (
	functionName = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)
	accountID    = regexp.MustCompile(`^[0-9]{12}$`)
	regionName   = regexp.MustCompile(`^[a-z0-9-]+$`)
	versionName  = regexp.MustCompile(`^[1-9][0-9]*$`)
	hostName     = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)
)

// mistakes collects errors with the path of what is wrong.
type mistakes []error

func (m *mistakes) check(ok bool, path, format string, args ...any) {
	if !ok {
		*m = append(*m, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
	}
}

// Validate reports all that is wrong, each with its path.
func (c Config) Validate() error {
	var m mistakes
	_, _, err := net.SplitHostPort(c.Address)
	m.check(err == nil, "address", "must be host:port, got %q", c.Address)
	for i, host := range c.Hosts {
		m.check(hostName.MatchString(host), fmt.Sprintf("hosts[%d]", i), "must be a name without a port, or *. before one, got %q", host)
	}
	m.check(regionName.MatchString(c.Region), "region", "must be a region's name, got %q", c.Region)
	m.check(accountID.MatchString(c.AccountID), "account_id", "must be 12 digits, got %q", c.AccountID)
	m.check(c.AccountConcurrency > 0, "account_concurrency", "must be positive, got %d", c.AccountConcurrency)
	m.check(c.ScalingRate > 0, "scaling_rate", "must be positive, got %d", c.ScalingRate)
	m.check(c.Isolation == IsolationAuto || c.Isolation == IsolationOff, "isolation", "must be %s or %s, got %q", IsolationAuto, IsolationOff, c.Isolation)
	c.Direct.validate(&m)
	c.Prices.validate(&m)
	m.check(len(c.Functions) > 0, "functions", "must name at least one function")
	names := map[string]bool{}
	for i, f := range c.Functions {
		path := fmt.Sprintf("functions[%d]", i)
		f.validate(&m, path)
		m.check(!names[f.Name], path+".name", "%q is taken", f.Name)
		names[f.Name] = true
	}
	c.validateReservations(&m)
	c.validateLinks(&m)
	c.validateFaults(&m)
	return errors.Join(m...)
}

func (d Direct) validate(m *mistakes) {
	if d.Address != "" {
		_, _, err := net.SplitHostPort(d.Address)
		m.check(err == nil, "direct.address", "must be host:port, or empty, got %q", d.Address)
	}
}

func (p Prices) validate(m *mistakes) {
	for _, one := range []struct {
		key   string
		price float64
	}{
		{"million_requests", p.MillionRequests},
		{"gb_second_x86", p.GBSecondX86},
		{"gb_second_arm", p.GBSecondARM},
		{"managed_million_requests", p.ManagedRequests},
		{"managed_fee", p.ManagedFee},
		{"ec2_hour_c_x86", p.EC2HourCX86},
		{"ec2_hour_c_arm", p.EC2HourCARM},
		{"ec2_hour_m_x86", p.EC2HourMX86},
		{"ec2_hour_m_arm", p.EC2HourMARM},
		{"ec2_hour_r_x86", p.EC2HourRX86},
		{"ec2_hour_r_arm", p.EC2HourRARM},
	} {
		m.check(one.price >= 0, "prices."+one.key, "must not be negative, got %v", one.price)
	}
}

// validateReservations checks, as Lambda does, that the functions without a reservation keep enough to share.
func (c Config) validateReservations(m *mistakes) {
	sum := 0
	for _, f := range c.Functions {
		if f.ReservedConcurrency != nil {
			sum += *f.ReservedConcurrency
		}
	}
	m.check(sum == 0 || sum <= c.AccountConcurrency-account.MinUnreserved, "account_concurrency",
		"reservations (%d) must leave %d of it, got %d", sum, account.MinUnreserved, c.AccountConcurrency)
}

func (f Function) validate(m *mistakes, path string) {
	m.check(functionName.MatchString(f.Name), path+".name", "must be 1 to 64 letters, digits, - or _, got %q", f.Name)
	f.validatePrograms(m, path)
	if f.Dir != "" {
		info, err := os.Stat(f.Dir)
		m.check(err == nil && info.IsDir(), path+".dir", "must be a directory, got %q", f.Dir)
	}
	longest := function.LongestTimeout(f.Managed != nil)
	m.check(f.Timeout > 0 && f.Timeout <= longest, path+".timeout", "must be above 0s and at most %v, got %v", longest, f.Timeout)
	m.check(f.InitTimeout > 0, path+".init_timeout", "must be positive, got %v", f.InitTimeout)
	least, most, where := function.MinMemoryMB, function.MaxMemoryMB, ""
	if f.Managed != nil {
		least, most, where = minManagedMB, maxManagedMB, " on Managed Instances"
	}
	m.check(f.MemoryMB >= least && f.MemoryMB <= most, path+".memory_mb", "must be %d to %d%s, got %d", least, most, where, f.MemoryMB)
	m.check(f.EphemeralMB >= function.MinTempMB && f.EphemeralMB <= function.MaxTempMB, path+".ephemeral_storage_mb",
		"must be %d to %d, got %d", function.MinTempMB, function.MaxTempMB, f.EphemeralMB)
	m.check(f.Limits.OpenFiles >= 0, path+".limits.open_files", "must not be negative, got %d", f.Limits.OpenFiles)
	m.check(f.Limits.Processes >= 0, path+".limits.processes", "must not be negative, got %d", f.Limits.Processes)
	for i, layer := range f.Layers {
		info, err := os.Stat(layer)
		m.check(err == nil && info.IsDir(), fmt.Sprintf("%s.layers[%d]", path, i), "must be a directory, got %q", layer)
	}
	m.check(f.Architecture == string(ledger.X86) || f.Architecture == string(ledger.ARM), path+".architecture",
		"must be %s or %s, got %q", ledger.X86, ledger.ARM, f.Architecture)
	m.check(f.InvokeMode == Buffered || f.InvokeMode == ResponseStream, path+".invoke_mode",
		"must be %s or %s, got %q", Buffered, ResponseStream, f.InvokeMode)
	m.check(f.ReservedConcurrency == nil || *f.ReservedConcurrency >= 0, path+".reserved_concurrency", "must not be negative")
	f.ColdStartDelay.validate(m, path+".cold_start_delay")
	f.IdleExpiry.validate(m, path+".idle_expiry")
	m.check(f.IdleExpiry.Min > 0 || f.IdleExpiry.P50 > 0, path+".idle_expiry", "must be positive")
	f.Events.validate(m, path+".events")
	f.validateManaged(m, path)
	f.validateVersions(m, path)
	f.validateAliases(m, path)
}

// validatePrograms also checks that the names of extensions differ: an extension registers by its name.
func (f Function) validatePrograms(m *mistakes, path string) {
	m.check(program(f.Command), path+".command", "must be a program and its arguments")
	for i, argv := range f.Processes {
		m.check(program(argv), fmt.Sprintf("%s.processes[%d]", path, i), "must be a program and its arguments")
	}
	names := map[string]bool{}
	for i, x := range f.Extensions {
		at := fmt.Sprintf("%s.extensions[%d]", path, i)
		m.check(program(x.Command), at, "must be a program and its arguments, or its name and command")
		m.check(!program(x.Command) || x.Name != "", at+".name", "must be the name under which the program registers")
		m.check(x.Name == "" || !names[x.Name], at, "two extensions are named %q", x.Name)
		names[x.Name] = true
	}
}

func program(argv []string) bool { return len(argv) > 0 && argv[0] != "" }
