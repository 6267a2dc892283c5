package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

func answers(by string, took ...time.Duration) (list []answer) {
	for n, d := range took {
		list = append(list, answer{At: time.Duration(n) * time.Second, Took: d, By: by})
	}
	return list
}

func TestWhatIsCounted(t *testing.T) {
	s := seen{Answers: append(answers("a", 4*time.Second, 100*time.Millisecond, 4*time.Second+1), answers("b", time.Second)...)}
	require.Equal(t, 1, s.late())
	require.Equal(t, []int{3, 1}, s.served())
	require.Equal(t, 4*time.Second+1, s.quantile(1))
}

func TestEveryPhaseHasRequestsThatCount(t *testing.T) {
	s, err := parse(nil, io.Discard)
	require.NoError(t, err)
	for _, share := range []float64{1, 0.05} {
		for _, p := range s.phases(share) {
			counted := 0
			for _, r := range p.requests.Requests {
				require.Equal(t, s.Service, r.Service, p.name)
				if r.At >= p.from {
					counted++
				}
			}
			require.Greater(t, counted, 5, p.name)
			require.NotContains(t, p.about, "%!")
		}
	}
}

func TestAnAppThatIsNotHereIsSaidSo(t *testing.T) {
	s, err := parse([]string{"-nextjs", t.TempDir()}, io.Discard)
	require.NoError(t, err)
	next, err := s.next()
	require.NoError(t, err)
	require.NotEmpty(t, next.missing)
	var said strings.Builder
	skipped, err := try(t.Context(), nil, s, next, &said)
	require.NoError(t, err)
	require.Contains(t, said.String(), "nextjs: not measured")
	both := measured{Plain: seen{Answers: answers("a", 1)}, Dispatched: seen{Answers: answers("b", 1)}}
	r := report{Origin: &lab.Origin{}, Apps: []tried{{Name: "go", Phases: []measured{both}}, skipped}}
	page := r.markdown("data.json")
	require.Contains(t, page, "Not measured: "+next.missing)
	require.NotContains(t, page, "%!")
}

var update = flag.Bool("update", false, "draw the pictures of docs/cold anew")

// The pictures are those of the run that the page names.
func TestColdPictures(t *testing.T) {
	const results, pictures = "../results", "../../docs/cold"
	page, err := os.ReadFile(filepath.Join(results, "cold.md"))
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(results, regexp.MustCompile(`\((\S+-cold\.json)\)`).FindStringSubmatch(string(page))[1]))
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(text, &r))
	dir := pictures
	if !*update {
		dir = t.TempDir()
	}
	require.NoError(t, r.plot(dir))
	for _, name := range []string{"latency.svg", "spread.svg"} {
		drawn, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		kept, err := os.ReadFile(filepath.Join(pictures, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(kept, drawn), "%s is older than %s, or than what draws it: make pictures", name, "cold.md")
	}
}

// A picture holds a dot for each answer, and is XML.
func TestPicturesShowEachAnswer(t *testing.T) {
	both := measured{Plain: seen{Answers: answers("a", 8*time.Second, time.Second)}, Dispatched: seen{Answers: answers("b", 100*time.Millisecond)}}
	steady, crowd, up := both, both, both
	steady.Name, crowd.Name, up.Name = "steady", "crowd", "scale-up"
	r := &report{Apps: []tried{{Phases: []measured{steady, crowd, up}}}}
	require.Equal(t, 9, strings.Count(r.latency(), `r="2"`))
	require.Equal(t, 4, strings.Count(r.spread(), `<rect x=`))
	for _, text := range []string{r.latency(), r.spread()} {
		for d := xml.NewDecoder(strings.NewReader(text)); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
		}
	}
}
