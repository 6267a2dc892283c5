package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// root is where the pages are.
const root = "../.."

// pages are the Markdown files of the repository, by their paths in it.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", ".tools", "build", "node_modules"}, d.Name()) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		texts[strings.TrimPrefix(path, root+"/")] = string(text)
		return err
	}))
	return texts
}

var (
	commandLine = regexp.MustCompile(`(?m)^(?:build/)?lambda-dispatch ((?:.*\\\n)*.*)$`) // in a block of code
	mention     = regexp.MustCompile("`(?:build/)?lambda-dispatch ([a-z][^`]*)`")        // in a sentence
	word        = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)                         // of a shell's line
	noWord      = regexp.MustCompile(`^(#|[|>&;])`)                                      // the command ends before it
	block       = regexp.MustCompile("(?ms)^ *```[a-z]*\n(.*?)^ *```$")
)

// words are those of a command: without a comment, without brackets around what may be left out, up to a pipe.
func words(line string) (out []string) {
	for _, w := range word.FindAllString(strings.ReplaceAll(line, "\\\n", " "), -1) {
		if noWord.MatchString(w) {
			break
		}
		out = append(out, strings.Trim(w, `'"[]`))
	}
	return out
}

// parsed finds a command and reads its flags, and returns its arguments.
func parsed(line string) (c *cobra.Command, args []string, err error) {
	c, rest, err := (&app{}).root().Find(words(line))
	if err != nil {
		return c, nil, err
	}
	if err = c.ParseFlags(rest); errors.Is(err, pflag.ErrHelp) {
		err = nil
	}
	return c, c.Flags().Args(), err
}

// What a page has people type is a command with these flags. A sentence may leave arguments out, a block of code may not.
func TestCommandsOfThePagesAreThoseOfTheProgram(t *testing.T) {
	lines, mentions := 0, 0
	for page, text := range pages(t) {
		if slices.Contains([]string{"CHANGELOG.md", "docs/decisions.md", "lambdapeer/wire/PROTOCOL.md"}, page) {
			continue // two tell of commands that were, the third has texts that are signed
		}
		for _, code := range block.FindAllStringSubmatch(text, -1) {
			for _, match := range commandLine.FindAllStringSubmatch(code[1], -1) {
				lines++
				c, args, err := parsed(match[1])
				require.NoError(t, err, "%s: %s", page, match[0])
				require.NoError(t, c.ValidateArgs(args), "%s: %s", page, match[0])
			}
		}
		for _, match := range mention.FindAllStringSubmatch(text, -1) {
			mentions++
			c, args, err := parsed(match[1])
			require.NoError(t, err, "%s: %s", page, match[0])
			if len(args) > 0 {
				require.NoError(t, c.ValidateArgs(args), "%s: %s", page, match[0])
			}
		}
	}
	require.Greater(t, lines, 8)
	require.Greater(t, mentions, 40)
}
