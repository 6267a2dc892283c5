package admin

import (
	"net/http"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
)

// A bearer tells whether a request shows the token that is asked for. The zero bearer asks for none.
type bearer struct {
	token func() string // the one that is valid now
}

// shown tells whether the request shows the token. The comparison takes the same time for every wrong token.
func (b bearer) shown(r *http.Request) bool {
	if b.token == nil {
		return true
	}
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && token.Equal(strings.TrimSpace(got), b.token())
}

// public tells whether a path needs no token. Probes have none, and the page itself asks people for it.
func public(path string) bool {
	return path == "/" || path == "/healthz" || path == "/readyz" || strings.HasPrefix(path, "/page/")
}

// require refuses requests without a valid token, except to public paths.
func (b bearer) require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if public(r.URL.Path) || b.shown(r) {
			next.ServeHTTP(w, r)
			return
		}
		challenge, detail := "Bearer", "a token is needed, as Authorization: Bearer TOKEN; it is in the file that admin.token_file names"
		if r.Header.Get("Authorization") != "" {
			challenge, detail = `Bearer error="invalid_token"`, "the Authorization header does not have the token that the file of admin.token_file holds"
		}
		w.Header().Set("WWW-Authenticate", challenge)
		fail(w, http.StatusUnauthorized, detail)
	})
}
