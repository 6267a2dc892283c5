package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/load/procstat"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// An Origin says when, where and of what numbers were measured.
type Origin struct {
	Date        time.Time        `json:"date"`
	Commit      string           `json:"commit"`
	Envoy       string           `json:"envoy"`
	Machine     procstat.Machine `json:"machine"`
	LoadAverage string           `json:"load_average"` // before the run: what else the machine was doing
	Clock       procstat.Clock   `json:"clock"`        // of all cores during the run

	began procstat.Clock
}

// Here is the origin of what is measured from now until Finish.
func Here() (*Origin, error) {
	machine, err := procstat.ThisMachine()
	if err != nil {
		return nil, err
	}
	loadavg, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil, err
	}
	average, _, _ := strings.Cut(string(loadavg), " ")
	o := &Origin{
		Date: time.Now().UTC().Truncate(time.Second), Commit: commit(), Envoy: envoy.Version,
		Machine: machine, LoadAverage: average,
	}
	o.began, err = procstat.Now()
	return o, err
}

// Finish notes what the cores did since Here.
func (o *Origin) Finish() error {
	now, err := procstat.Now()
	o.Clock = now.Sub(o.began)
	return err
}

// commit is the short hash of what was measured, with a mark when files differ from it.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// String describes the machine and what was measured on it, for the head of a page.
func (o *Origin) String() string {
	return fmt.Sprintf("%s, commit %s. %d cores of %s, %.0f GB, Linux %s, %s, Envoy %s. Load average before the run: %s. "+
		"During it the host took %.0f %% of the CPU time that was wanted.",
		o.Date.Format(time.DateOnly), o.Commit, o.Machine.Cores, o.Machine.CPU, float64(o.Machine.Memory)/1e9,
		o.Machine.Kernel, o.Machine.Go, o.Envoy, o.LoadAverage, 100*o.Clock.StolenShare())
}

// Name is that of a file for the data: the date, the commit and what was measured, if that needs to be said.
func (o *Origin) Name(what string) string {
	if what != "" {
		what = "-" + what
	}
	return o.Date.Format(time.DateOnly) + "-" + strings.TrimSuffix(o.Commit, "-dirty") + what + ".json"
}

// Save writes data as JSON into the file name, and a page about it into the file called page, both in dir, which is made.
func Save(dir, name string, data any, page, text string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	body, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name), append(body, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, page), []byte(text), 0o644)
}
