package report

import (
	"fmt"
	"os"
	"strings"
)

// A Section is a part of a page that is made from results of the suite.
type Section struct {
	Name  string // in the page's comments
	Title string
	Text  string // Markdown
}

// PutInto replaces what a page has between the comments of each section.
func PutInto(path string, sections ...Section) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(page)
	for _, s := range sections {
		begin, end := "<!-- "+s.Name+": made by make simulate -->\n", "<!-- end -->"
		before, rest, began := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !began || !ended {
			return fmt.Errorf("%s: has no %q with %q after it", path, strings.TrimSpace(begin), end)
		}
		text = before + begin + s.Text + end + after
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
