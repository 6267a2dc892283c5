package lambdalocal

import (
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/cgroup"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
)

// openGroups opens the control groups, and logs which of Lambda's limits cannot be enforced here, and why.
func (s *Server) openGroups() {
	groups, err := cgroup.Open()
	s.groups = groups
	if err != nil {
		s.log.WithError(err).Warn("limits of environments are not enforced")
	}
}

// enforcesMemory tells whether processes that hold too much memory are killed. By default they are where the kernel does the
// counting, which costs next to nothing.
func (w wiring) enforcesMemory(f Function) bool {
	if f.EnforceMemory != nil {
		return *f.EnforceMemory
	}
	return w.groups.Limits(cgroup.Memory)
}

// confiner makes the limits of the function's environments. In a control group, files in /tmp are in memory and count as the memory
// of the process that wrote them; in Lambda they do not. So the limit on memory is raised by the size of /tmp.
func (w wiring) confiner(f Function) func(*environment.Config, string) (environment.Confinement, error) {
	return func(cfg *environment.Config, id string) (environment.Confinement, error) {
		l := cgroup.Limits{Processes: f.Limits.Processes}
		if w.enforcesMemory(f) {
			l.Memory = int64(cfg.MemoryMB+cfg.TempMB) << 20
		}
		return w.groups.New(id, l)
	}
}
