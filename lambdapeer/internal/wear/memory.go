package wear

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/idle"
)

// listEvery is how often the environment's processes are listed; their memory is read more often.
const listEvery = 5 * time.Second

// exactFrom is the share of the limit from which memory that processes share is counted once, which takes longer.
const exactFrom = 0.5

// Read returns a gauge of the environment that this process is in; nil outside Lambda.
func Read(getenv func(string) string) *Gauge {
	api := getenv("AWS_LAMBDA_RUNTIME_API")
	if api == "" {
		return nil
	}
	megabytes, _ := strconv.ParseInt(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), 10, 64) // 0: then memory is not looked at
	r := &reader{mark: "AWS_LAMBDA_RUNTIME_API=" + api, limit: max(0, megabytes) << 20}
	return New(time.Now(), r.limit, r.used)
}

// A reader adds up the memory of the environment's processes.
type reader struct {
	mark   string
	limit  int64
	pids   []int
	listed time.Time
}

func (r *reader) used() int64 {
	if now := time.Now(); now.Sub(r.listed) >= listEvery {
		r.pids, r.listed = idle.Group(r.mark), now
	}
	sum := r.sum(resident)
	if len(r.pids) > 1 && float64(sum) > exactFrom*float64(r.limit) {
		sum = r.sum(proportional)
	}
	return sum
}

func (r *reader) sum(of func(pid int) int64) (sum int64) {
	for _, pid := range r.pids {
		sum += of(pid)
	}
	return sum
}

// resident is what is in memory of a process, pages that others have too included; 0 if it has ended.
func resident(pid int) int64 {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if fields := bytes.Fields(text); len(fields) > 1 {
		pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
		return pages * int64(os.Getpagesize())
	}
	return 0
}

// proportional is the same with each page divided by how many processes have it.
func proportional(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return resident(pid)
	}
	for line := range bytes.Lines(text) {
		if rest, found := bytes.CutPrefix(line, []byte("Pss:")); found {
			if fields := bytes.Fields(rest); len(fields) > 0 {
				kilobytes, _ := strconv.ParseInt(string(fields[0]), 10, 64)
				return kilobytes << 10
			}
		}
	}
	return 0
}
