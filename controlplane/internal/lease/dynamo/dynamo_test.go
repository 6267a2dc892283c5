package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/dynamo/dynamotest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/leasetest"
)

var someone = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
})

func emulate(t *testing.T) string { return dynamotest.Start(t).URL }

func store(url, name string, client *http.Client) *Store {
	if name == "" {
		name = "cell"
	}
	return New(Options{Table: dynamotest.Table, Name: name, Region: "eu-central-1", Endpoint: url, Credentials: someone, Client: client})
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

// A check tells what no second try mends from what may pass.
func TestACheckNamesWhatIsWrong(t *testing.T) {
	e := dynamotest.Start(t)
	e.CreateTable(t, "numbers", "name", "N")
	e.CreateTable(t, "others", "id", "S")
	check := func(o Options) error {
		s, err := Open(t.Context(), o)
		require.NoError(t, err)
		return s.Check(t.Context())
	}
	require.NoError(t, check(Options{Table: dynamotest.Table, Name: "cell", Endpoint: e.URL}))
	for table, wrong := range map[string]error{"none-of-these": ErrNoTable, "numbers": ErrKey, "others": ErrKey} {
		err := check(Options{Table: table, Name: "cell", Endpoint: e.URL})
		require.ErrorIs(t, err, wrong)
		require.ErrorContains(t, err, table)
		require.True(t, Definite(err))
	}
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no identity-based policy allows the dynamodb:GetItem action"}`)
	}))
	defer denied.Close()
	err := check(Options{Table: "t", Name: "cell", Endpoint: denied.URL})
	require.ErrorIs(t, err, ErrDenied)
	require.ErrorContains(t, err, "no identity-based policy")
	denied.Close()
	err = check(Options{Table: "t", Name: "cell", Endpoint: denied.URL})
	require.Error(t, err)
	require.False(t, Definite(err), "one that does not answer may later")
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	_, err = Open(t.Context(), Options{Table: "t", Name: "cell"})
	require.ErrorIs(t, err, ErrNoRegion)
}

// Metrics name what is wrong with the table.
func TestWhatFailsHasACause(t *testing.T) {
	coral := func(word string) string {
		return `{"__type":"com.amazon.coral.service#` + word + `","Message":"in words"}`
	}
	for _, c := range []struct {
		status int
		body   string
		cause  lease.Cause
		says   string
	}{
		{400, coral("AccessDeniedException"), lease.Denied, "400 AccessDeniedException: in words"},
		{400, coral("ExpiredTokenException"), lease.Denied, "ExpiredTokenException"},
		{400, coral("ResourceNotFoundException"), lease.NotFound, "ResourceNotFoundException"},
		{400, coral("ProvisionedThroughputExceededException"), lease.Throttled, "in words"},
		{400, coral("ThrottlingException"), lease.Throttled, "in words"},
		{400, coral("ValidationException"), lease.Unknown, "in words"},
		{500, coral("InternalServerError"), lease.Unavailable, "500 InternalServerError"},
		{503, "no healthy upstream", lease.Unavailable, `a proxy before it, answered 503 Service Unavailable: "no healthy upstream"`},
		{403, "<html>no</html>", lease.Denied, "403 Forbidden"},
		{200, "<html>hello</html>", lease.Unreadable, "DynamoDB's answer"},
		{200, `{"Item":{"name":{"S":"written by hand"}}}`, lease.Unreadable, "the item's"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		_, err := store(server.URL, "", nil).Read(t.Context())
		require.Equal(t, c.cause, lease.CauseOf(err), "%d %s", c.status, c.body)
		require.ErrorContains(t, err, c.says)
		server.Close()
		_, err = store(server.URL, "", nil).Read(t.Context())
		require.Equal(t, lease.Network, lease.CauseOf(err))
	}
	hangs := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hangs }))
	defer server.Close()
	defer close(hangs)
	over, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := store(server.URL, "", nil).Read(over)
	require.Equal(t, lease.TimedOut, lease.CauseOf(err))
	s := store(server.URL, "", nil)
	s.o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no EC2 IMDS role found")
	})
	_, err = s.Read(t.Context())
	require.Equal(t, lease.NoCredentials, lease.CauseOf(err))
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
