package cli

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the tables of docs/cost.md, and the pictures of docs/scaling, anew")

const costPage = "../../docs/cost.md"

// A costCase is one row of the six.
type costCase struct{ name, args string }

// The six cases: two that plain Lambda wins, one for Fargate, one for Managed Instances, two for us.
var costCases = []costCase{
	{"an internal tool", "--rate 0.05 --peak 4 --latency 100ms --cpu 0.2"},
	{"pictures made small, at odd times", "--rate 5 --peak 6 --period 30m --latency 120ms --cpu 0.8 --memory 512 --init 400ms"},
	{"an API, all day", "--rate 60 --peak 3 --latency 300ms --cpu 0.05 --memory 1024"},
	{"an API that computes, EC2 at half price", "--rate 500 --peak 1.3 --latency 150ms --cpu 0.6 --memory 1769 --architecture arm64 --discount-ec2 0.5"},
	{"a language model behind it, in bursts", "--rate 20 --peak 8 --period 20m --latency 2s --cpu 0.02 --memory 1024 --concurrency 20"},
	{"pages of a shop with a slow start, in bursts", "--rate 40 --peak 10 --period 30m --latency 250ms --cpu 0.15 --memory 1769 --init 3s"},
}

// A costed is what estimate --json says.
type costed struct {
	Traffic struct {
		PerMonth float64 `json:"requests_per_month"`
	} `json:"traffic"`
	Simulated struct {
		Slots int `json:"slots"`
	} `json:"simulated"`
	Bills []struct {
		Way   string  `json:"way"`
		Total float64 `json:"total_dollars"`
		Unfit string  `json:"unfit"`
		Lines []struct {
			Kind    string  `json:"kind"`
			Dollars float64 `json:"dollars"`
		} `json:"lines"`
	} `json:"bills"`
	Verdict struct {
		Pays     bool    `json:"pays"`
		Rival    string  `json:"cheapest_other_way"`
		Saves    float64 `json:"saves_dollars"`
		Sentence string  `json:"sentence"`
	} `json:"verdict"`
}

func costOf(t *testing.T, args string) (out costed) {
	t.Helper()
	stdout, _, err := try(t, append([]string{"estimate", "--json"}, strings.Fields(args)...)...)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(stdout), &out))
	return out
}

// cheapest is the total of the cheapest bill whose name begins so.
func (c costed) cheapest(way string) float64 {
	for _, b := range c.Bills {
		if strings.HasPrefix(b.Way, way) && b.Unfit == "" {
			return b.Total
		}
	}
	return 0
}

// perMillion is what the compute lines of a way cost for a million requests.
func (c costed) perMillion(way string, compute bool) float64 {
	sum := 0.0
	for _, b := range c.Bills {
		for _, line := range b.Lines {
			if b.Way == way && (line.Kind == "compute") == compute {
				sum += line.Dollars
			}
		}
	}
	return sum / c.Traffic.PerMonth * 1e6
}

// The committed table is what the command says with the built-in prices.
func TestTheSixCasesAreThoseOfThePage(t *testing.T) {
	var table strings.Builder
	fmt.Fprint(&table, "| | Lambda Dispatch | cheapest plain | Fargate alone | Managed Instances | |\n|---|---|---|---|---|---|\n")
	var sentences strings.Builder
	for k, c := range costCases {
		out := costOf(t, c.args)
		who := out.Verdict.Rival
		if out.Verdict.Pays {
			who = "**Lambda Dispatch**"
		}
		fmt.Fprintf(&table, "| %d. %s | $%.2f | $%.2f | $%.2f | $%.2f | %s |\n", k+1, c.name, out.cheapest("Lambda Dispatch"),
			out.cheapest("plain Lambda"), out.cheapest("Fargate"), out.cheapest("Lambda Managed"), who)
		fmt.Fprintf(&sentences, "%d. `lambda-dispatch estimate %s`<br>%s\n", k+1, c.args, out.Verdict.Sentence)
	}
	requireSection(t, "cases", table.String()+"\n"+sentences.String())
}

// The same with the share of a request that computes as an axis, and the front's cost beside it.
func TestLongTheSharesAreThoseOfThePage(t *testing.T) {
	rates := []int{5, 50, 500}
	var table, front strings.Builder
	fmt.Fprint(&table, "| computes | at once | plain Lambda | dispatched, 5 requests/s | 50/s | 500/s | whole bill, 5/s | 50/s | 500/s |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, share := range []string{"0", "0.05", "0.1", "0.2", "0.5", "1"} {
		var lambda, whole []string
		var last costed
		front.Reset()
		for _, rate := range rates {
			last = costOf(t, fmt.Sprintf("--rate %d --peak 2 --latency 200ms --cpu %s --memory 1024", rate, share))
			lambda = append(lambda, fmt.Sprintf("%.2f", last.perMillion("Lambda Dispatch", true)))
			whole = append(whole, fmt.Sprintf("%.2f", last.cheapest("Lambda Dispatch")/last.cheapest("plain Lambda, function URL")))
			around := last.perMillion("Lambda Dispatch", false) - last.perMillion("plain Lambda, function URL", false)
			fmt.Fprintf(&front, " $%.2f at %d/s,", around, rate)
		}
		var percent float64
		_, err := fmt.Sscanf(share, "%g", &percent)
		require.NoError(t, err)
		fmt.Fprintf(&table, "| %.0f %% | %d | %.2f | %s | %s |\n", 100*percent, last.Simulated.Slots,
			last.perMillion("plain Lambda, function URL", true), strings.Join(lambda, " | "), strings.Join(whole, " | "))
	}
	requireSection(t, "shares", table.String()+"\nEnvoy, control plane, balancer, addresses and bytes between zones, less what plain Lambda pays for logs, are beside it: a million requests cost"+
		strings.TrimSuffix(front.String(), ",")+".\n")
}

// requireSection compares the page's section of that name, or writes it.
func requireSection(t *testing.T, name, want string) {
	t.Helper()
	page, err := os.ReadFile(costPage)
	require.NoError(t, err)
	section := regexp.MustCompile(`(?s)(<!-- ` + name + `: made by make cost -->\n)(.*?)(<!-- end -->)`)
	match := section.FindSubmatch(page)
	require.NotNil(t, match, "%s has no section %s", costPage, name)
	if *update {
		text := section.ReplaceAllFunc(page, func([]byte) []byte { return []byte(string(match[1]) + want + string(match[3])) })
		require.NoError(t, os.WriteFile(costPage, text, 0o644))
		return
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors round other digits")
	}
	require.Equal(t, string(match[2]), want, "`make cost` writes it anew")
}
