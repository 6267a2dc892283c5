// Package golden holds connections between a peer and a relay as earlier builds spoke them, byte for byte. Each folder is
// named after the commit whose code wrote it, NAME.peer is what the peer sent and NAME.relay what it got. Tests of both ends
// play them against today's code. Files are added, never changed.
package golden

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Builds lists the commits whose wire is kept, oldest first.
var Builds = []string{"0756d24"}

//go:embed 0756d24
var files embed.FS

// What the files hold where it differs from one connection to the next.
const (
	tokenMark = "{token}"
	relayMark = "{relay}"
)

// Instance is the id of the instance in every file.
const Instance = "i-1"

// A Side is what one end sent on one connection.
type Side struct {
	Head  []byte   // request or answer, up to and with its empty line
	Lines [][]byte // what follows, a message each, without its end
}

// Read returns a file with the token and the relay's host:port filled in. It panics for a file that does not exist.
func Read(build, name, token, relay string) Side {
	data, err := files.ReadFile(build + "/" + name)
	if err != nil {
		panic(err)
	}
	text := strings.NewReplacer(tokenMark, token, relayMark, relay).Replace(string(data))
	head, rest, found := bytes.Cut([]byte(text), []byte("\r\n\r\n"))
	if !found { // an answer without a handshake before it
		head, rest = nil, []byte(text)
	} else {
		head = append(head, "\r\n\r\n"...)
	}
	s := Side{Head: head}
	for line := range bytes.Lines(rest) {
		s.Lines = append(s.Lines, bytes.TrimSuffix(line, []byte("\n")))
	}
	return s
}

// Includes tells whether today's JSON object has every field of an earlier one, of the same type; what it has beside them is
// for later builds. Numbers and texts may differ. The error names the first field that is gone.
func Includes(today, earlier []byte) error {
	var now, then any
	if err := json.Unmarshal(today, &now); err != nil {
		return err
	}
	if err := json.Unmarshal(earlier, &then); err != nil {
		return err
	}
	return includes("", now, then)
}

// Survives tells whether a message of an earlier build can be exchanged with it still: what today's code writes has every field of it, and
// so has what today's code makes of it when it reads it and writes it again.
func Survives(earlier, today []byte, again func(earlier []byte) ([]byte, error)) error {
	if err := Includes(today, earlier); err != nil {
		return fmt.Errorf("as written today: %w", err)
	}
	text, err := again(earlier)
	if err == nil {
		err = Includes(text, earlier)
	}
	if err != nil {
		return fmt.Errorf("read and written again: %w", err)
	}
	return nil
}

func includes(path string, now, then any) error {
	if fmt.Sprintf("%T", now) != fmt.Sprintf("%T", then) {
		return fmt.Errorf("%s: is %T, was %T", path, now, then)
	}
	switch then := then.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(then)) {
			if err := includes(path+"."+name, now.(map[string]any)[name], then[name]); err != nil {
				return err
			}
		}
	case []any:
		for i, value := range then {
			if i >= len(now.([]any)) {
				return fmt.Errorf("%s[%d]: is gone", path, i)
			}
			if err := includes(fmt.Sprintf("%s[%d]", path, i), now.([]any)[i], value); err != nil {
				return err
			}
		}
	}
	return nil
}
