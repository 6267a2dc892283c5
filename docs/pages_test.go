package docs_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// rows are the cells of the first table after a text.
func rows(t *testing.T, text, after string) (table [][]string) {
	t.Helper()
	_, text, found := strings.Cut(text, after)
	require.True(t, found, after)
	for _, line := range strings.Split(text[strings.Index(text, "|"):], "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		table = append(table, cells)
	}
	return table
}

// dollars are those of cost.md as README has them: whole, and cents below one.
func dollars(t *testing.T, cents string) string {
	t.Helper()
	amount, err := strconv.ParseFloat(strings.TrimPrefix(cents, "$"), 64)
	require.NoError(t, err)
	if amount < 1 {
		return cents
	}
	whole := fmt.Sprintf("%.0f", amount)
	if len(whole) > 3 {
		whole = whole[:len(whole)-3] + "," + whole[len(whole)-3:]
	}
	return "$" + whole
}

func TestTheReadmesCostsAreThoseOfTheirPage(t *testing.T) {
	readme, costs := page(t, "../README.md"), page(t, "cost.md")
	cases := rows(t, costs, "<!-- cases")[2:]
	for i, row := range rows(t, readme, "## Does it pay?")[2:] {
		of := cases[[]int{0, 2, 4, 5}[i]]
		require.Equal(t, []string{dollars(t, of[1]), dollars(t, of[2]), dollars(t, of[3])}, row[1:4], "%s, which is %s", row[0], of[0])
		require.Contains(t, of[5], strings.Trim(row[4], "*"), row[0])
	}
	shares := rows(t, readme, "dollars for a million requests:")
	for i, of := range rows(t, costs, "<!-- shares")[2:7] {
		require.Equal(t, []string{of[0], of[2], of[4]}, []string{shares[0][i+1], shares[2][i+1], shares[3][i+1]})
	}
}

func TestTheReadmeIsShort(t *testing.T) {
	require.LessOrEqual(t, strings.Count(page(t, "../README.md"), "\n"), 120)
}

func TestEveryMakeTargetIsExplained(t *testing.T) {
	targets := regexp.MustCompile(`(?m)^([a-z-]+):.*##`).FindAllStringSubmatch(page(t, "../Makefile"), -1)
	require.NotEmpty(t, targets)
	for _, target := range targets {
		require.Contains(t, page(t, "development.md"), "`make "+target[1]+"`")
	}
}

// A guard that an alert does not know would page somebody for doing what it is for.
func TestGuardsAreTheSameInCodePageAndAlert(t *testing.T) {
	var guards, explained []string
	for _, match := range regexp.MustCompile(`Reason += "(\w+)"`).FindAllStringSubmatch(page(t, "../controlplane/internal/scaler/guards.go"), -1) {
		if match[1] != "backoff" { // told by the cause of the starts that fail
			guards = append(guards, match[1])
		}
	}
	for _, row := range rows(t, page(t, "operating.md"), "## What holds starts back")[2:] {
		explained = append(explained, strings.Trim(row[0], "`"))
	}
	excluded := regexp.MustCompile(`starts_blocked\{cause!~"([^"]+)"`).FindStringSubmatch(page(t, "../deploy/prometheus/rules.yml"))
	require.NotNil(t, excluded)
	require.ElementsMatch(t, guards, explained)
	require.ElementsMatch(t, guards, strings.Split(excluded[1], "|"))
}
