// Command app is what the bench measures both ways: it answers every request with the same 128 bytes, on the plain port
// $PORT (HTTP/1.1 and HTTP/2), or through a relay when LAMBDA_DISPATCH_PEER_RELAY is set. The handler is the same.
package main

import (
	"log"
	"net/http"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

var body = []byte(strings.Repeat("lambda-dispatch\n", 8))

func main() {
	if err := lambdapeer.ListenAndServe(http.HandlerFunc(answer)); err != nil {
		log.Fatal(err)
	}
}

func answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(body)
}
