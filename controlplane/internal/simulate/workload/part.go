package workload

import "time"

// Part is the requests that arrive within length after from, the first of them at 0.
func (w Workload) Part(from, length time.Duration) Workload {
	part := Workload{Name: w.Name, Smooth: w.Smooth}
	for _, r := range w.Requests {
		if r.At >= from && r.At < from+length {
			part.Requests = append(part.Requests, r)
		}
	}
	return part.fromZero().finish()
}

// Faster divides all times by factor, so that as many requests are in flight as before.
func (w Workload) Faster(factor float64) Workload {
	fast := Workload{Name: w.Name, Smooth: w.Smooth, Requests: make([]Request, len(w.Requests))}
	for k, r := range w.Requests {
		fast.Requests[k] = Request{At: scaled(r.At, factor), Service: scaled(r.Service, factor), Stream: r.Stream}
	}
	return fast.finish()
}

func scaled(d time.Duration, factor float64) time.Duration { return time.Duration(float64(d) / factor) }
