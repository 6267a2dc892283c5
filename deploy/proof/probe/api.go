package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// The variables of function and extension that say where the witness is, and what to do.
const (
	witnessVar = "PROOF_WITNESS" // host:port
	tokenVar   = "PROOF_TOKEN"
	lingerVar  = "PROOF_LINGER" // how long the extension is busy after each invocation began; none
)

// ask calls the Runtime or the Extensions API, and returns its answer. Calls for the next event wait as long as the environment does.
func ask(ctx context.Context, method, path string, header map[string]string, body any) (http.Header, []byte, error) {
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return nil, nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+path, &sent)
	if err != nil {
		return nil, nil, err
	}
	for key, value := range header {
		r.Header.Set(key, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, answer)
	}
	return response.Header, answer, err
}

// dial connects to the witness, under a name.
func dial(name string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", os.Getenv(witnessVar), 10*time.Second)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "%s %s\n", os.Getenv(tokenVar), name)
	return conn, err
}
