package lambdalocal

import (
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/cgroup"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
)

// openGroups says which limits of Lambda's nobody enforces here, and why.
func (s *Server) openGroups() {
	groups, err := cgroup.Open()
	s.groups = groups
	if err != nil {
		s.log.WithError(err).Warn("limits of environments are not enforced")
	}
}

// enforcesMemory says whether processes that hold too much are ended. By default they are where that costs next to nothing.
func (w wiring) enforcesMemory(f Function) bool {
	if f.EnforceMemory != nil {
		return *f.EnforceMemory
	}
	return w.groups.Limits(cgroup.Memory)
}

// confiner makes what limits the function's environments. In a control group files in /tmp, which are in memory, count as the
// memory of who wrote them; in Lambda they do not.
func (w wiring) confiner(f Function) func(*environment.Config, string) (environment.Confinement, error) {
	return func(cfg *environment.Config, id string) (environment.Confinement, error) {
		l := cgroup.Limits{Processes: f.Limits.Processes}
		if w.enforcesMemory(f) {
			l.Memory = int64(cfg.MemoryMB+f.EphemeralMB) << 20
		}
		return w.groups.New(id, l)
	}
}
