// Command layer makes the Lambda layer that brings lambdapeer to functions from zip files:
//
//	go run ./deploy/layer LAMBDAPEER OUT.zip
//
// The same binary makes the same bytes each time.
package main

import (
	"archive/zip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

//go:embed lambdapeer-run
var wrapper []byte

// A file of the layer, below /opt.
type file struct {
	name string
	text []byte
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: layer LAMBDAPEER OUT.zip")
		os.Exit(2)
	}
	if err := makeLayer(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "layer:", err)
		os.Exit(1)
	}
}

func makeLayer(binary, out string) error {
	peer, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	target, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(write(target, peer), target.Close())
}

// write packs lambdapeer as an external extension, and the wrapper for managed runtimes. Lambda runs nothing that is not executable.
func write(w io.Writer, peer []byte) error {
	archive := zip.NewWriter(w)
	for _, f := range []file{{"extensions/lambdapeer", peer}, {"lambdapeer-run", wrapper}} {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(fs.FileMode(0o755))
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.text); err != nil {
			return err
		}
	}
	return archive.Close()
}
