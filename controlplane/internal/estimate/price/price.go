// Package price holds what AWS charges, in one dated file. Each price has its source, and whether that confirms it. The package knows no
// quantities.
package price

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed prices.yaml
var builtIn []byte

// BuiltIn is the text of the file that this version comes with.
func BuiltIn() []byte { return slices.Clone(builtIn) }

// A List is a file of prices.
type List struct {
	Date    string            `yaml:"date"` // of the file, 2026-11-29
	Sources map[string]Source `yaml:"sources"`
	Regions []string          `yaml:"regions"`
	Prices  map[string]Price  `yaml:"prices"`
}

// A Source is a page of AWS's, and when and where it was seen.
type Source struct {
	Page string `yaml:"page"`
	Seen string `yaml:"seen"`
}

// A Price is one thing that is charged for, in dollars.
type Price struct {
	Per       string             `yaml:"per"` // the unit
	Source    string             `yaml:"source"`
	Confirmed []string           `yaml:"confirmed"` // regions
	Dollars   map[string]float64 `yaml:",inline"`   // by region
}

// Most bounds a price, in dollars.
const Most = 1000

// Default is the list that this version comes with.
func Default() List {
	list, err := Read(bytes.NewReader(builtIn))
	if err != nil {
		panic(err) // a test reads the same bytes
	}
	return list
}

// Read reads a list. Every price of Names must be there, for every region; an error names all that is wrong with it, one a line.
func Read(r io.Reader) (List, error) {
	var list List
	decoder := yaml.NewDecoder(io.LimitReader(r, 1<<20))
	decoder.KnownFields(true)
	if err := decoder.Decode(&list); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("empty")
		}
		return List{}, err
	}
	return list, list.validate()
}

func (l List) validate() error {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if l.Date == "" {
		add("date: must be set")
	}
	if len(l.Regions) == 0 {
		add("regions: must have at least one element")
	}
	for _, name := range Names() {
		if _, ok := l.Prices[name]; !ok {
			add("prices.%s: is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Prices)) {
		l.validatePrice(name, add)
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}

func (l List) validatePrice(name string, add func(string, ...any)) {
	p := l.Prices[name]
	if !slices.Contains(Names(), name) {
		add("prices.%s: is not a known price", name)
	}
	if _, ok := l.Sources[p.Source]; !ok {
		add("prices.%s.source: must be one of sources, got %q", name, p.Source)
	}
	for _, region := range l.Regions {
		dollars, ok := p.Dollars[region]
		if !ok {
			add("prices.%s.%s: is missing", name, region)
		} else if !(dollars >= 0 && dollars <= Most) { // not a number either
			add("prices.%s.%s: must be 0 to %d dollars, got %v", name, region, Most, dollars)
		}
	}
	for region := range p.Dollars {
		if !slices.Contains(l.Regions, region) {
			add("prices.%s.%s: is none of regions", name, region)
		}
	}
}

// A Set is the prices of one region.
type Set struct {
	Date   string
	Region string
	prices map[string]Price
	list   List
}

// For returns the prices of a region.
func (l List) For(region string) (Set, error) {
	if !slices.Contains(l.Regions, region) {
		return Set{}, fmt.Errorf("no prices of region %q, there are %s; --prices FILE reads others", region, strings.Join(l.Regions, ", "))
	}
	return Set{Date: l.Date, Region: region, prices: l.Prices, list: l}, nil
}

// Of returns what one unit costs, in dollars. The name is one of Names; for any other it returns not-a-number.
func (s Set) Of(name string) float64 {
	p, ok := s.prices[name]
	if !ok {
		return math.NaN()
	}
	return p.Dollars[s.Region]
}

// Confirmed tells whether the source of a price could be read.
func (s Set) Confirmed(name string) bool {
	return slices.Contains(s.prices[name].Confirmed, s.Region)
}

// Describe writes a price with its unit and its source.
func (s Set) Describe(name string) string {
	p := s.prices[name]
	return fmt.Sprintf("$%v per %s (%s)", s.Of(name), p.Per, s.list.Sources[p.Source].Page)
}
