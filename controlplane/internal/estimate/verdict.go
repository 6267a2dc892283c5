package estimate

import (
	"fmt"
	"strings"
)

// A Verdict says in a sentence whether Lambda Dispatch pays.
type Verdict struct {
	Pays     bool   `json:"pays"`
	Rival    string `json:"cheapest_other_way"`
	Saves    Money  `json:"saves_dollars"` // a month against that one; negative: costs so much more
	Sentence string `json:"sentence"`
}

func (r Result) verdict() (Verdict, error) {
	rival, err := r.rival()
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Rival: rival.Way, Saves: rival.Total - r.ours().Total}
	v.Pays = v.Saves > 0
	if v.Pays {
		v.Sentence = fmt.Sprintf("It pays: Lambda Dispatch is cheaper than the cheapest other way, %s, by %s a month, because %s.",
			rival.Way, v.Saves, r.whyOurs(rival))
	} else {
		v.Sentence = fmt.Sprintf("Leave it: %s is cheaper by %s a month, because %s.", rival.Way, -v.Saves, r.whyTheirs(rival))
	}
	return v, nil
}

// whyOurs says why Lambda Dispatch is cheaper.
func (r Result) whyOurs(rival Bill) string {
	if rival.plain {
		return fmt.Sprintf("up to %d requests share an environment's time, which saves %s of Lambda, and Envoy and the control plane cost %s",
			r.Service.Slots(), rival.Sum(Compute)-r.ours().Sum(Compute), r.ours().Sum(Front))
	}
	if r.doubles() {
		return fmt.Sprintf("the peak is %.1f times the mean and comes so quickly that servers have to stand ready for it, and instances do not", r.peak())
	}
	return "instances end within moments of the last request, and servers do not"
}

// whyTheirs says why the rival is cheaper.
func (r Result) whyTheirs(rival Bill) string {
	ours := r.ours()
	if !rival.plain {
		return r.whyServers()
	}
	if r.Service.Slots() == 1 {
		return "a request computes for so much of its time that no second one fits beside it, and Envoy and the control plane cost " + ours.Sum(Front).String()
	}
	saved := rival.Sum(Compute) - ours.Sum(Compute)
	if saved <= 0 {
		return "so few requests come at the same time that they do not share environments, and Envoy and the control plane cost " + ours.Sum(Front).String()
	}
	fixed := ours.Total - ours.Sum(Compute) - (rival.Total - rival.Sum(Compute))
	return fmt.Sprintf("sharing environments saves %s of Lambda, and Envoy, the control plane and what is before and around them cost %s more",
		saved, fixed)
}

// whyServers says why servers are cheaper.
func (r Result) whyServers() string {
	switch {
	case r.Service.Slots() == 1:
		return "a request computes for so much of its time that no second one fits beside it, and a server's processor costs less than Lambda's"
	case r.peak() < 3:
		return fmt.Sprintf("the peak is only %.1f times the mean: servers that are this busy cost less than Lambda's time", r.peak())
	case !r.doubles():
		return fmt.Sprintf("the peak of %.1f times the mean comes slowly enough for servers to follow it", r.peak())
	default:
		return fmt.Sprintf("the servers that stand ready for a peak of %.1f times the mean cost less than Lambda's time, Envoy and the control plane", r.peak())
	}
}

// peak returns the ratio of the highest rate to the mean.
func (r Result) peak() float64 {
	p := r.Service.Traffic.Profile
	return p.Peak() / p.Mean()
}

// warnings returns the assumptions that may not hold for this service.
func (r Result) warnings() []string {
	out := []string{fmt.Sprintf("Prices are those of %s, on demand, of a file of %s, without tax; a month has %d hours. %s.",
		r.Prices.Region, r.Prices.Date, Hours, r.freeTier())}
	if unsure := r.unconfirmed(); len(unsure) > 0 {
		out = append(out, "Not confirmed by a source that could be read: "+strings.Join(unsure, "; ")+".")
	}
	return append(append(out, r.aboutCapacity()...), r.aboutRivals()...)
}

func (r Result) freeTier() string {
	if r.Service.FreeTier {
		return "Lambda's free tier is taken off, as if no other function of the account used it"
	}
	return "No free tier is counted"
}

// unconfirmed returns the prices in the bills whose sources could not be read.
func (r Result) unconfirmed() []string {
	var names []string
	seen := map[string]bool{}
	for _, b := range r.Bills {
		for name := range b.used {
			if !seen[name] && !r.Prices.Confirmed(name) {
				names = append(names, r.Prices.Describe(name))
			}
			seen[name] = true
		}
	}
	return sorted(names)
}

// aboutCapacity says what the service needs of an instance and of an account.
func (r Result) aboutCapacity() (out []string) {
	s, mean := r.Service, r.Service.Traffic.Profile.Mean()
	if s.Slots() < s.Concurrency {
		out = append(out, fmt.Sprintf("An instance is given %d requests at once, not %d: more would wait for its processor.", s.Slots(), s.Concurrency))
	}
	if r.Served.Cut > noticed {
		out = append(out, fmt.Sprintf("%.2g %% of the requests %s.", 100*r.Served.Cut, outlast))
	}
	if r.Served.Slower > 1.1 {
		out = append(out, fmt.Sprintf("The median answer takes %.1f times as long as alone: it waits for a start, or shares a processor.", r.Served.Slower))
	}
	if inFlight := s.Traffic.Profile.Peak() * s.Latency.Seconds(); inFlight > 1000 {
		out = append(out, fmt.Sprintf("At the peak %.0f requests are in flight: plain Lambda needs a higher quota than the 1,000 that an account begins with.", inFlight))
	}
	if mean*month*s.ResponseBytes/gigabyte > 10*1024 {
		out = append(out, "Beyond 10 TB a month answers to the Internet cost less than stated, each way alike.")
	}
	return out
}

func (r Result) aboutRivals() (out []string) {
	if r.Service.MemoryMB <= webFunctionMB {
		out = append(out, "Lambda Web Functions are not billed here, because their prices could not be read: a Node.js server of up to 2 GB may cost less on them.")
	}
	if r.doubles() {
		out = append(out, "Traffic more than doubles within five minutes: Managed Instances may throttle then, says AWS. They are priced as if they stood ready for the peak.")
	}
	if plain, ok := r.plain(); ok && r.Service.Init.Seconds() >= 1 {
		out = append(out, fmt.Sprintf("On plain Lambda about %s requests a month wait for an init of %s. Behind Lambda Dispatch at most %s do; others get the first slot that frees.",
			many(plain.ColdStarts), r.Service.Init, many(r.ours().ColdStarts)))
	}
	return append(out, "Fargate is scaled to 60 % of its processors, Managed Instances to 50 %; they come five minutes before a peak and stay for fifteen minutes after it. Commitments change this: --discount-ec2, --discount-fargate, --discount-lambda.")
}

// webFunctionMB is the memory of a Web Function's environment.
const webFunctionMB = 2048

// doubles tells whether the rate more than doubles within five minutes, to more than the mean.
func (r Result) doubles() bool {
	p := r.Service.Traffic.Profile
	ahead := p.steps(doubling)
	for k, rate := range p.Rates {
		for j := 1; j <= min(ahead, len(p.Rates)-1); j++ {
			if next := p.Rates[(k+j)%len(p.Rates)]; next > 2*rate && next > p.Mean() {
				return true
			}
		}
	}
	return false
}
