package estimate

import (
	"cmp"
	"slices"
)

// A Kind is what a line of a bill is for.
type Kind string

// Kinds of lines, in the order of a table's columns.
const (
	Compute Kind = "compute" // where the app runs
	Front   Kind = "front"   // Envoy, relay and control plane
	Entry   Kind = "entry"   // a balancer or an API
	Network Kind = "network" // bytes and addresses
	Logging Kind = "logs"
)

// Kinds returns all kinds, in that order.
func Kinds() []Kind { return []Kind{Compute, Front, Entry, Network, Logging} }

// A Line is one thing that a month costs.
type Line struct {
	Kind    Kind   `json:"kind"`
	What    string `json:"what"` // for a reader, with the quantity
	Dollars Money  `json:"dollars"`
}

// A Bill is what a month costs one way.
type Bill struct {
	Way   string `json:"way"`
	Lines []Line `json:"lines"`
	Total Money  `json:"total_dollars"`
	// ColdStarts a month. On plain Lambda a client waits for each; behind Lambda Dispatch only if no slot becomes free before.
	ColdStarts float64 `json:"cold_starts"`
	// Unfit says why this way cannot serve the service; empty: it can.
	Unfit string `json:"unfit,omitempty"`

	plain bool            // one request per environment
	used  map[string]bool // prices
}

// Sum adds up the lines of a kind.
func (b Bill) Sum(kind Kind) Money {
	var sum Money
	for _, line := range b.Lines {
		if line.Kind == kind {
			sum += line.Dollars
		}
	}
	return sum
}

// add adds a line. prices are the names of the prices in it.
func (b *Bill) add(kind Kind, cost float64, what string, prices ...string) {
	if b.used == nil {
		b.used = map[string]bool{}
	}
	for _, name := range prices {
		b.used[name] = true
	}
	m := dollars(cost)
	b.Lines = append(b.Lines, Line{Kind: kind, What: what, Dollars: m})
	b.Total += m
}

func sorted[T cmp.Ordered](all []T) []T {
	slices.Sort(all)
	return all
}
