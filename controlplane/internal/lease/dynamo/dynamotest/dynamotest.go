// Package dynamotest runs an emulator of DynamoDB for tests.
package dynamotest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Table is the table that the emulator has.
const Table = "leases"

// An Emulator is one that runs. It stops when its test ends.
type Emulator struct {
	URL    string
	node   *exec.Cmd
	refuse atomic.Pointer[refusal] // nil: every call is made
}

// A refusal is how calls are refused.
type refusal struct {
	as    string
	outOf uint64
}

// Refuse refuses calls as the exception of that name, all but one out of so many in the mean.
func (e *Emulator) Refuse(as string, outOf uint64) { e.refuse.Store(&refusal{as, outOf}) }

// Obey refuses no calls any more.
func (e *Emulator) Obey() { e.refuse.Store(nil) }

// Start starts dynalite with one table. Without it, `make dynalite` fetches it, the test is skipped.
func Start(t testing.TB) *Emulator {
	t.Helper()
	path := find(t)
	if path == "" {
		t.Skip("dynalite is not there: make dynalite")
	}
	node := exec.Command("node", "-e", `const s = require(process.argv[1])({createTableMs: 0, deleteTableMs: 0}); s.listen(0, '127.0.0.1', () => console.log(s.address().port))`, path)
	out, err := node.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, node.Start())
	t.Cleanup(func() {
		_ = node.Process.Kill()
		_ = node.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	port, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	e := &Emulator{node: node}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "127.0.0.1:" + strconv.Itoa(port)})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse := e.refuse.Load(); refuse != nil && rand.Uint64N(refuse.outOf) != 0 {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"refused by the test"}`, refuse.as)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	e.URL = front.URL
	e.CreateTable(t, Table, "name", "S")
	return e
}

// find looks for dynalite in .tools of the test's folder and of those above it.
func find(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		path := filepath.Join(dir, ".tools/dynalite-4.0.0/node_modules/dynalite")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// Signal sends the emulator a signal: SIGSTOP and SIGCONT, say.
func (e *Emulator) Signal(signal os.Signal) { _ = e.node.Process.Signal(signal) }

// CreateTable makes another table, and returns when it is there.
func (e *Emulator) CreateTable(t testing.TB, name, key, kind string) {
	t.Helper()
	require.Equal(t, http.StatusOK, e.call(t, "CreateTable", `{"TableName":"`+name+`","BillingMode":"PAY_PER_REQUEST",
		"KeySchema":[{"AttributeName":"`+key+`","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"`+key+`","AttributeType":"`+kind+`"}]}`))
	value := map[string]string{"S": `{"S":"x"}`, "N": `{"N":"1"}`}[kind]
	require.Eventually(t, func() bool {
		return e.call(t, "GetItem", `{"TableName":"`+name+`","Key":{"`+key+`":`+value+`}}`) == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
}

// DeleteTable deletes a table, and returns when it is gone.
func (e *Emulator) DeleteTable(t testing.TB, name string) {
	t.Helper()
	named := `{"TableName":"` + name + `"}`
	require.Equal(t, http.StatusOK, e.call(t, "DeleteTable", named))
	require.Eventually(t, func() bool { return e.call(t, "DescribeTable", named) == http.StatusBadRequest }, 10*time.Second, 10*time.Millisecond)
}

// call makes a call of the API, and returns the answer's status.
func (e *Emulator) call(t testing.TB, operation, body string) int {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=none/20261129/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=none")
	request.Header.Set("X-Amz-Date", "20261129T000000Z")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode
}
