package workload

import "time"

// Part returns the requests that arrive in the time length after from. The first one then arrives at 0.
func (w Workload) Part(from, length time.Duration) Workload {
	part := Workload{Name: w.Name, Smooth: w.Smooth}
	for _, r := range w.Requests {
		if r.At >= from && r.At < from+length {
			part.Requests = append(part.Requests, r)
		}
	}
	return part.fromZero().finish()
}

// Faster returns the workload with all times divided by factor. So as many requests are in flight as before.
func (w Workload) Faster(factor float64) Workload {
	fast := Workload{Name: w.Name, Smooth: w.Smooth, Requests: make([]Request, len(w.Requests))}
	for k, r := range w.Requests {
		fast.Requests[k] = Request{At: scaled(r.At, factor), Service: scaled(r.Service, factor), Stream: r.Stream}
	}
	return fast.finish()
}

func scaled(d time.Duration, factor float64) time.Duration { return time.Duration(float64(d) / factor) }
