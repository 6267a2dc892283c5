package dynamo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/leasetest"
)

const emulator = "../../../../.tools/dynalite-4.0.0/node_modules/dynalite"

var someone = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
})

// emulate starts dynalite with one table and returns its URL. `make dynalite` fetches it.
func emulate(t *testing.T) string {
	path, err := filepath.Abs(emulator)
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skip("dynalite is not there: make dynalite")
	}
	node := exec.Command("node", "-e", `const s = require(process.argv[1])({createTableMs: 0}); s.listen(0, '127.0.0.1', () => console.log(s.address().port))`, path)
	out, err := node.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, node.Start())
	t.Cleanup(func() {
		_ = node.Process.Kill()
		_ = node.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	port, err := strconv.Atoi(line[:len(line)-1])
	require.NoError(t, err)
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	s := store(url, "", nil)
	require.NoError(t, s.call(t.Context(), "CreateTable", map[string]any{
		"TableName": "leases", "BillingMode": "PAY_PER_REQUEST",
		"KeySchema":            []map[string]string{{"AttributeName": "name", "KeyType": "HASH"}},
		"AttributeDefinitions": []map[string]string{{"AttributeName": "name", "AttributeType": "S"}},
	}, nil))
	require.Eventually(t, func() bool {
		_, err := s.Read(t.Context())
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	return url
}

func store(url, name string, client *http.Client) *Store {
	if name == "" {
		name = "cell"
	}
	return New(Options{Table: "leases", Name: name, Region: "eu-central-1", Endpoint: url, Credentials: someone, Client: client})
}

func TestAnItemConforms(t *testing.T) {
	url := emulate(t)
	leasetest.Conform(t, func(_ *testing.T, place, _ string) lease.Store { return store(url, place, nil) })
}

// lossy loses every nth answer, on its way back.
type lossy struct {
	every int64
	n     atomic.Int64
}

var errLost = errors.New("the answer is lost")

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && l.n.Add(1)%l.every == 0 {
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		return nil, errLost
	}
	return answer, err
}

func TestTheLeaseOutlastsLostAnswers(t *testing.T) {
	url := emulate(t)
	leasetest.Conform(t, func(t *testing.T, place, _ string) lease.Store {
		if place != "hand over" {
			return store(url, place+" again", nil)
		}
		return store(url, place+" again", &http.Client{Transport: &lossy{every: 3}})
	})
}

func TestWhatDynamoDBRefusesIsSaid(t *testing.T) {
	url := emulate(t)
	s := store(url, "", nil)
	s.o.Table = "none"
	_, err := s.Read(t.Context())
	require.ErrorContains(t, err, "ResourceNotFoundException")
	var conflict *lease.ConflictError
	require.NotErrorAs(t, s.Swap(t.Context(), 0, lease.Record{Version: 1}), &conflict)
}

func TestAnAnswerThatIsNone(t *testing.T) {
	for body, says := range map[string]string{
		"<html>":                                    "invalid character",
		`{"Item":{"version":{"N":"x"}}}`:            "the item's",
		`{"Item":{"version":{"N":"1"}}}`:            "the item's term",
		`{"Item":{"name":{"S":"written by hand"}}}`: "the item's",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		_, err := store(server.URL, "", nil).Read(t.Context())
		require.ErrorContains(t, err, says)
		server.Close()
	}
	require.Equal(t, "https://dynamodb.cn-north-1.amazonaws.com.cn", New(Options{Region: "cn-north-1"}).o.Endpoint)
}

func FuzzItem(f *testing.F) {
	f.Add([]byte(`{"version":{"N":"3"},"term":{"N":"2"},"holder":{"S":"a"},"relays":{"S":"[\"p\"]"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var i item
		if json.Unmarshal(text, &i) != nil {
			return
		}
		if r, err := record(i); err != nil {
			require.Zero(t, r)
		}
	})
}
