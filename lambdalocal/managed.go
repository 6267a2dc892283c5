package lambdalocal

import (
	"math"
	"reflect"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
)

// Managed runs a function as on Lambda Managed Instances: its environments serve many invocations at once, are never frozen, and
// are billed as EC2 instances. README.md says which of this AWS documents.
type Managed struct {
	MaxConcurrency  int           `yaml:"max_concurrency"`  // invocations at once in an environment; 0: 64 for each vCPU
	MinEnvironments int           `yaml:"min_environments"` // of each version
	MaxEnvironments int           `yaml:"max_environments"`
	GiBPerVCPU      int           `yaml:"gib_per_vcpu"`   // 2, 4 or 8: EC2 instances of the families c, m and r
	ScaleInterval   time.Duration `yaml:"scale_interval"` // between two looks at the load
}

// DefaultManaged has AWS's defaults, where AWS states them: of the concurrency, which depends on the runtime, that of Node.js.
func DefaultManaged() Managed {
	return Managed{MinEnvironments: 3, MaxEnvironments: 100, GiBPerVCPU: 2, ScaleInterval: 30 * time.Second}
}

// decode starts from the defaults.
func (m *Managed) decode(d *decoder, path string, node *yaml.Node) {
	*m = DefaultManaged()
	d.structure(path, node, reflect.ValueOf(m).Elem())
}

// Limits of Managed Instances.
const (
	minManagedMB          = 2048
	maxManagedMB          = 32768
	maxManagedConcurrency = 1600
	maxPerVCPU            = 64
	maxEnvironments       = 15000
)

func (f Function) validateManaged(m *mistakes, path string) {
	if f.Managed == nil {
		return
	}
	g := *f.Managed
	path += ".managed"
	m.check(g.GiBPerVCPU == 2 || g.GiBPerVCPU == 4 || g.GiBPerVCPU == 8, path+".gib_per_vcpu", "must be 2, 4 or 8, got %d", g.GiBPerVCPU)
	vcpus := g.vcpus(f.MemoryMB)
	m.check(vcpus >= 1 || f.MemoryMB < minManagedMB, path+".gib_per_vcpu", "memory_mb must be that of one vCPU at least, got %d", f.MemoryMB)
	most := g.mostConcurrency(f.MemoryMB)
	m.check(g.MaxConcurrency >= 0 && g.MaxConcurrency <= most, path+".max_concurrency", "must be 1 to %d, %d for each vCPU, or 0 for all of these, got %d", most, maxPerVCPU, g.MaxConcurrency)
	m.check(g.MinEnvironments >= 0, path+".min_environments", "must not be negative, got %d", g.MinEnvironments)
	m.check(g.MaxEnvironments >= max(1, g.MinEnvironments) && g.MaxEnvironments <= maxEnvironments, path+".max_environments",
		"must be min_environments to %d, and 1 at least, got %d", maxEnvironments, g.MaxEnvironments)
	m.check(g.ScaleInterval > 0, path+".scale_interval", "must be positive, got %v", g.ScaleInterval)
	m.check(f.ReservedConcurrency == nil, path, "has no reserved_concurrency beside it")
	for i, v := range f.Versions {
		m.check(v.ProvisionedConcurrency == 0, path, "has no provisioned_concurrency beside it, as in versions[%d]", i)
	}
}

// mostConcurrency is how many invocations at once an environment may have.
func (g Managed) mostConcurrency(memoryMB int) int {
	return min(maxManagedConcurrency, int(maxPerVCPU*max(g.vcpus(memoryMB), 1)))
}

// vcpus of an environment.
func (g Managed) vcpus(memoryMB int) float64 {
	if g.GiBPerVCPU == 0 {
		return 1
	}
	return float64(memoryMB) / 1024 / float64(g.GiBPerVCPU)
}

func (p Prices) ofLedger() ledger.Prices {
	return ledger.Prices{
		MillionRequests: p.MillionRequests, GBSecondX86: p.GBSecondX86, GBSecondARM: p.GBSecondARM,
		ManagedRequests: p.ManagedRequests, ManagedFee: p.ManagedFee,
	}
}

// hourDollars is what EC2 charges for two vCPUs of the family.
func (p Prices) hourDollars(gibPerVCPU int, architecture ledger.Architecture) float64 {
	prices := map[int][2]float64{2: {p.EC2HourCX86, p.EC2HourCARM}, 4: {p.EC2HourMX86, p.EC2HourMARM}, 8: {p.EC2HourRX86, p.EC2HourRARM}}[gibPerVCPU]
	if architecture == ledger.ARM {
		return prices[1]
	}
	return prices[0]
}

// managed is nil for a function on Lambda's own machines. It chooses the smallest instances with an even number of vCPUs that hold
// an environment; within a family the price is proportional to the vCPUs.
func (w wiring) managed(f Function) *function.Managed {
	if f.Managed == nil {
		return nil
	}
	g := *f.Managed
	vcpus := g.vcpus(f.MemoryMB)
	pairs := math.Ceil(vcpus / 2)
	return &function.Managed{
		Min: g.MinEnvironments, Max: g.MaxEnvironments, VCPUs: vcpus, PerInstance: max(1, int(2*pairs/vcpus)), Interval: g.ScaleInterval,
		HourDollars: pairs * w.cfg.Prices.hourDollars(g.GiBPerVCPU, ledger.Architecture(f.Architecture)),
	}
}
