package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	// what GitHub leaves out of a heading's anchor, and the target of a link in it
	unanchored = regexp.MustCompile(`\]\([^)]*\)|[^\p{L}\p{N}_ -]`)
)

// anchors are the names by which the headings of a page are linked to, made as GitHub makes them.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		name := strings.ReplaceAll(unanchored.ReplaceAllString(strings.ToLower(strings.TrimSpace(match[1])), ""), " ", "-")
		unique := name
		for i := 1; found[unique]; i++ {
			unique = fmt.Sprintf("%s-%d", name, i)
		}
		found[unique] = true
	}
	return found
}

func TestLinksBetweenDocumentsResolve(t *testing.T) {
	out, err := exec.Command("git", "-C", "..", "ls-files", "*.md").Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	pages := map[string]string{}
	for _, document := range strings.Fields(string(out)) {
		text, err := os.ReadFile(filepath.Join("..", document))
		require.NoError(t, err)
		pages[document] = string(text)
	}
	for document, text := range pages {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(match[1], "#")
			target := document
			if file != "" {
				target = filepath.Join(filepath.Dir(document), file)
				assert.FileExists(t, filepath.Join("..", target), "%s: %s", document, match[1])
			}
			if page, ours := pages[target]; ours && anchor != "" {
				assert.True(t, anchors(page)[anchor], "%s: %s: no heading of %s has that anchor", document, match[1], target)
			}
		}
	}
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	page := "# How `relay.apart` works, and why\n\n## [Who](who.md) asked, and how?\n\n```sh\n# not a heading\n```\n\n## Same\n## Same\n### -- a_b\n"
	require.Equal(t, map[string]bool{
		"how-relayapart-works-and-why": true, "who-asked-and-how": true, "same": true, "same-1": true, "---a_b": true,
	}, anchors(page))
}
