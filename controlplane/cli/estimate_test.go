package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEstimate(t *testing.T) {
	stdout, stderr, err := try(t, "estimate", "--rate", "0.05", "--peak", "4", "--latency", "100ms", "--cpu", "0.2")
	require.NoError(t, err)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "Leave it: plain Lambda, function URL is cheaper by $")
	require.Contains(t, stdout, "Prices are those of us-east-1")
	require.Contains(t, stdout, "--memory was not given: 1024 MB.")
	require.NotContains(t, stdout, "--cpu was not given")
	require.Contains(t, stdout, "--period was not given: from peak to peak 24h. ")
	require.NotContains(t, stdout, "--peak was not given")
	require.NotContains(t, stdout, "--latency was not given")

	stdout, _, err = try(t, "estimate", "--rate", "0.05", "--period", "1h")
	require.NoError(t, err)
	require.NotContains(t, stdout, "--period was not given")
	require.Contains(t, stdout, "--peak was not given: the highest rate is taken to be 3 times the mean.")
	require.Contains(t, stdout, "--latency was not given: 200ms a request.")

	stdout, _, err = try(t, "estimate", "--rate", "0.05", "--region", "eu-central-1", "--architecture", "arm64", "--response-bytes", "1.5MB", "--json")
	require.NoError(t, err)
	var out struct {
		Prices  map[string]string `json:"prices"`
		Service map[string]any    `json:"service"`
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &out))
	require.Equal(t, "eu-central-1", out.Prices["region"])
	require.Equal(t, "arm64", out.Service["architecture"])
	require.EqualValues(t, 1.5*(1<<20), out.Service["response_bytes"])
}

func TestEstimateAsTheReadmeSays(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	commands := regexp.MustCompile("`build/lambda-dispatch (estimate [^`]+)`").FindAllSubmatch(readme, -1)
	require.Len(t, commands, 2)
	for k, says := range []string{"(?m)^(It pays|Leave it): ", "(?m)^It pays: "} {
		stdout, _, err := try(t, strings.Fields(string(commands[k][1]))...)
		require.NoError(t, err)
		require.Regexp(t, says, stdout)
	}
}

// Prices can be printed, changed and read again.
func TestEstimateReadsPrices(t *testing.T) {
	text, _, err := try(t, "estimate", "--print-prices")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "prices.yaml")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(text, "us-east-1", "moon-1")), 0o600))
	stdout, _, err := try(t, "estimate", "--rate", "0.1", "--prices", path, "--region", "moon-1")
	require.NoError(t, err)
	require.Contains(t, stdout, "Prices are those of moon-1")
	require.NoError(t, os.WriteFile(path, []byte("date: 2026-11-29\n"), 0o600))
	_, _, err = try(t, "estimate", "--rate", "0.1", "--prices", path)
	require.ErrorContains(t, err, path+": regions: must have at least one element\nprices.lambda_million_requests: is missing")
}

const accessLog = `http 2026-11-02T12:00:00.202000Z app/a/1 192.0.2.1:80 10.0.0.1:80 0.001 0.200 0.000 200 200 300 5000 "GET http://a:80/ HTTP/1.1" "curl" - - arn:t "Root=1" "-" "-" 0 2026-11-02T12:00:00.001000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1
h2 2026-11-02T12:03:00.402000Z app/a/1 192.0.2.1:80 10.0.0.1:80 0.001 0.400 0.000 200 200 300 5000 "GET http://a:80/ HTTP/2.0" "curl" - - arn:t "Root=1" "-" "-" 0 2026-11-02T12:03:00.001000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1
`

func TestEstimateReadsRecordings(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	first, second := write("a.log", accessLog), write("b.log", strings.ReplaceAll(accessLog, "T12:0", "T12:1"))
	stdout, _, err := try(t, "estimate", "--alb-log", first, second, "--cpu", "0")
	require.NoError(t, err)
	require.Contains(t, stdout, "300ms each, 0 % of it computing")
	require.Contains(t, stdout, "The recording spans 13m0s")

	export := write("export.csv", "time,Invocations,Duration\n2026-11-02T12:00:00Z,60,250\n2026-11-02T12:01:00Z,30,250\n")
	stdout, _, err = try(t, "estimate", "--cloudwatch", export, "--memory", "512")
	require.NoError(t, err)
	require.Contains(t, stdout, "0.75 requests/s in the mean")
	require.Contains(t, stdout, "250ms each")
	uneven := write("uneven.csv", "time,Invocations,Duration\n2026-11-02T12:00:00Z,60,287.076199\n2026-11-02T12:01:00Z,30,287.076199\n")
	stdout, _, err = try(t, "estimate", "--cloudwatch", uneven)
	require.NoError(t, err)
	require.Contains(t, stdout, "287ms each")

	broken := write("broken.log", accessLog+"what is this\n")
	_, _, err = try(t, "estimate", "--alb-log", first, broken)
	require.ErrorContains(t, err, "estimate: "+broken+":3: 3 fields")
	uncounted := write("uncounted.csv", "time,Invocations\n2026-11-02T12:00:00Z,60\n2026-11-02T12:01:00Z,30\n")
	_, _, err = try(t, "estimate", "--cloudwatch", uncounted)
	require.ErrorContains(t, err, "--latency: must be given")
	_, _, err = try(t, "estimate", "--alb-log", filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestEstimateNamesMistakes(t *testing.T) {
	for says, args := range map[string][]string{
		"exactly one of --rate, --alb-log and --cloudwatch":                  {},
		"exactly one of --rate":                                              {"--rate", "1", "--alb-log", "x"},
		`--rate: must be a number, got "many"`:                               {"--rate", "many"},
		`--latency: must be a duration such as 30s or 1m30s, got "300"`:      {"--rate", "1", "--latency", "300"},
		`--memory: must be a whole number, got "1GB"`:                        {"--rate", "1", "--memory", "1GB"},
		"--rate: must be more than 0":                                        {"--rate", "0"},
		"--rate: must be at least one request a month, 3.8e-07 requests/s":   {"--rate", "1e-9"},
		"--rate: must be more than 0 and at most 1,000,000 requests/s":       {"--rate", "1e9"},
		"--peak: times --rate must be at most 1,000,000 requests/s":          {"--rate", "900000"},
		"--outbound-bytes: has no effect, because --network is vpc":          {"--rate", "1", "--outbound-bytes", "1KB"},
		"--peak: must be 1 to 1000 times the mean, got 0.5":                  {"--rate", "1", "--peak", "0.5"},
		"--cpu: must be between 0 and 1, got 7":                              {"--rate", "1", "--cpu", "7"},
		"--memory: must be between 128 and 10240, got 64":                    {"--rate", "1", "--memory", "64"},
		"--architecture: must be one of x86_64, arm64":                       {"--rate", "1", "--architecture", "m68k"},
		`no prices of region "mars-1", there are us-east-1, eu-central-1`:    {"--rate", "1", "--region", "mars-1"},
		`"many" is not a number of bytes such as 500, 20KB or 1.5MB`:         {"--rate", "1", "--request-bytes", "many"},
		`unexpected argument "x"`:                                            {"--rate", "1", "x"},
		"--period: has no effect, because the traffic is a recording":        {"--cloudwatch", "x", "--period", "1h"},
		`--layout: must be one of small, split, got "big"`:                   {"--rate", "1", "--layout", "big"},
		"--discount-ec2: must be between 0 and 0.99, got 1":                  {"--rate", "1", "--discount-ec2", "1"},
		"--requests-per-connection: must be between 1 and 1000000, got 0":    {"--rate", "1", "--requests-per-connection", "0"},
		"--network: must be one of vpc, nat, public, got \"carrier-pigeon\"": {"--rate", "1", "--network", "carrier-pigeon"},
	} {
		_, _, err := try(t, append([]string{"estimate"}, args...)...)
		require.ErrorContains(t, err, says, args)
		require.ErrorAs(t, err, new(usageError), args)
	}
}
