package estimate

import (
	"errors"
	"slices"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
)

// Ours is the name of the way through Lambda Dispatch.
const Ours = "Lambda Dispatch"

// A Result says what a service costs each way.
type Result struct {
	Service  Service
	Prices   price.Set
	Served   Served
	Bills    []Bill // ours first, then the rivals by what they cost; those that do not fit are last
	Verdict  Verdict
	Warnings []string // what was assumed, and what the reader may want to change
}

// Estimate bills a service each way. It simulates for a second or two. An error names what is wrong with the service.
func Estimate(s Service, prices price.Set) (Result, error) {
	if err := s.Validate(); err != nil {
		return Result{}, err
	}
	served, err := serve(s, prices)
	if err != nil {
		return Result{}, err
	}
	a := account{s, prices}
	r := Result{Service: s, Prices: prices, Served: served, Bills: []Bill{a.dispatch(served)}}
	rivals := []Bill{a.plain(URL), a.plain(ALB), a.plain(HTTPAPI), a.fargate(), a.managed()}
	slices.SortStableFunc(rivals, cheaper)
	r.Bills = append(r.Bills, rivals...)
	if r.Verdict, err = r.verdict(); err != nil {
		return Result{}, err
	}
	r.Warnings = r.warnings()
	return r, nil
}

// cheaper orders bills by their total, and those that fit before the others.
func cheaper(a, b Bill) int {
	if (a.Unfit == "") != (b.Unfit == "") {
		if a.Unfit == "" {
			return -1
		}
		return 1
	}
	return int(a.Total - b.Total)
}

// ours returns our bill.
func (r Result) ours() Bill { return r.Bills[0] }

// rival returns the cheapest other way that fits.
func (r Result) rival() (Bill, error) {
	if len(r.Bills) < 2 || r.Bills[1].Unfit != "" {
		return Bill{}, errors.New("no other way fits")
	}
	return r.Bills[1], nil
}

// plain returns the cheapest way on plain Lambda that fits, and whether there is one.
func (r Result) plain() (Bill, bool) {
	k := slices.IndexFunc(r.Bills, func(b Bill) bool { return b.Unfit == "" && b.plain })
	if k < 0 {
		return Bill{}, false
	}
	return r.Bills[k], true
}
