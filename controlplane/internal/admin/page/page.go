// Package page is what a browser is shown at the admin address: static files, which read the API. They hold nothing that is
// secret, need no build, and fetch nothing from elsewhere.
package page

import (
	"embed"
	"net/http"
)

//go:embed index.html *.css *.js *.svg
var files embed.FS

// policy lets the page run its own files and talk to its own server, and nothing else. Trusted types keep scripts from making
// elements of text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Handler serves the files by their names, and the page itself for any path that ends with a slash.
func Handler() http.Handler {
	served := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-cache") // a newer control plane has newer files
		served.ServeHTTP(w, r)
	})
}
