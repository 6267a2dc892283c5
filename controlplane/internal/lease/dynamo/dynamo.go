// Package dynamo keeps the record of a lease in an item of a DynamoDB table, by conditional writes. The table's key is a string
// named "name". The package makes the two API calls that it needs by itself, and the SDK only signs them.
package dynamo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// Options are what New needs.
type Options struct {
	Table       string
	Name        string // of the item: one for each group of control planes
	Region      string
	Endpoint    string // URL; empty: the region's
	Credentials aws.CredentialsProvider
	Client      *http.Client // nil: one with the defaults
}

// A Store is a lease.Store in one item.
type Store struct {
	o      Options
	signer *v4.Signer
}

// New returns the store of an item, which need not exist. It makes no call.
func New(o Options) *Store {
	if o.Endpoint == "" {
		suffix := "amazonaws.com"
		if strings.HasPrefix(o.Region, "cn-") {
			suffix = "amazonaws.com.cn"
		}
		o.Endpoint = "https://dynamodb." + o.Region + "." + suffix
	}
	if o.Client == nil {
		o.Client = &http.Client{}
	}
	return &Store{o: o, signer: v4.NewSigner()}
}

// A value is an attribute in DynamoDB's JSON.
type value struct {
	S string `json:"S,omitempty"`
	N string `json:"N,omitempty"`
}

type item map[string]value

func text(s string) value   { return value{S: s} }
func number(n uint64) value { return value{N: strconv.FormatUint(n, 10)} }

// Read implements lease.Store.
func (s *Store) Read(ctx context.Context) (lease.Found, error) {
	var out struct{ Item item }
	err := s.call(ctx, "GetItem", map[string]any{
		"TableName": s.o.Table, "Key": item{"name": text(s.o.Name)}, "ConsistentRead": true,
	}, &out)
	if err != nil {
		return lease.Found{}, err
	}
	r, err := read(out.Item)
	return lease.Found{Record: r}, err
}

// Swap implements lease.Store.
func (s *Store) Swap(ctx context.Context, seen uint64, next lease.Record) error {
	relays, err := json.Marshal(next.Relays)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	put := item{"name": text(s.o.Name), "version": number(next.Version), "term": number(next.Term), "relays": text(string(relays))}
	if next.Alone > 0 {
		put["alone"] = number(next.Alone)
	}
	for name, s := range map[string]string{"holder": next.Holder, "address": next.Address} {
		if s != "" {
			put[name] = text(s)
		}
	}
	in := map[string]any{
		"TableName": s.o.Table, "Item": put, "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
		"ConditionExpression": "#v = :v", "ExpressionAttributeNames": map[string]string{"#v": "version"}, "ExpressionAttributeValues": item{":v": number(seen)},
	}
	if seen == 0 {
		in["ConditionExpression"] = "attribute_not_exists(#v)"
		delete(in, "ExpressionAttributeValues")
	}
	err = s.call(ctx, "PutItem", in, nil)
	var refused *apiError
	if errors.As(err, &refused) && refused.is("ConditionalCheckFailedException") {
		return s.conflict(ctx, refused.Item)
	}
	return err
}

// conflict returns the item as a *lease.ConflictError. The refusal has it, except with some emulators.
func (s *Store) conflict(ctx context.Context, old item) error {
	if len(old) == 0 {
		found, err := s.Read(ctx)
		if err != nil {
			return err
		}
		return &lease.ConflictError{Now: found.Record}
	}
	now, err := read(old)
	if err != nil {
		return err
	}
	return &lease.ConflictError{Now: now}
}

func read(i item) (lease.Record, error) {
	r, err := record(i)
	if err != nil {
		err = lease.Because(lease.Unreadable, err)
	}
	return r, err
}

// record decodes an item. A missing item is the zero Record.
func record(i item) (r lease.Record, err error) {
	if len(i) == 0 {
		return r, nil
	}
	r.Holder, r.Address = i["holder"].S, i["address"].S
	for name, to := range map[string]*uint64{"version": &r.Version, "term": &r.Term} {
		if *to, err = strconv.ParseUint(i[name].N, 10, 64); err != nil {
			return lease.Record{}, fmt.Errorf("lease: the item's %s: %w", name, err)
		}
	}
	if alone := i["alone"].N; alone != "" {
		if r.Alone, err = strconv.ParseUint(alone, 10, 64); err != nil {
			return lease.Record{}, fmt.Errorf("lease: the item's alone: %w", err)
		}
	}
	if relays := i["relays"].S; relays != "" {
		if err := json.Unmarshal([]byte(relays), &r.Relays); err != nil {
			return lease.Record{}, fmt.Errorf("lease: the item's relays: %w", err)
		}
	}
	return r, nil
}

// An apiError is DynamoDB's refusal.
type apiError struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
	Item    item   `json:"Item"`
	status  int
	text    []byte // the whole answer: one of a proxy has no type
}

func (e *apiError) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("lease: DynamoDB, or a proxy before it, answered %d %s: %.200q", e.status, http.StatusText(e.status), e.text)
	}
	_, word, _ := strings.Cut(e.Type, "#")
	return fmt.Sprintf("lease: DynamoDB answered %d %s: %.200s", e.status, word, e.Message)
}

func (e *apiError) is(words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.HasSuffix(e.Type, "#"+word) })
}

// Words of DynamoDB's for one cause.
var (
	denied    = []string{"AccessDeniedException"}
	strange   = []string{"UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException", "ExpiredTokenException"}
	throttled = []string{"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"}
)

func (e *apiError) cause() lease.Cause {
	switch {
	case e.is("ResourceNotFoundException"):
		return lease.NotFound
	case e.is(denied...), e.is(strange...), e.status == http.StatusForbidden:
		return lease.Denied
	case e.is(throttled...), e.status == http.StatusTooManyRequests:
		return lease.Throttled
	case e.status >= http.StatusInternalServerError:
		return lease.Unavailable
	default:
		return lease.Unknown
	}
}

// call makes one call. It does not retry, because the candidate knows best whether a lost answer matters.
func (s *Store) call(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	request, err := s.signed(ctx, operation, body)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	answer, err := s.o.Client.Do(request)
	if err != nil {
		return lease.Because(lease.Network, fmt.Errorf("lease: %w", err))
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return lease.Because(lease.Network, fmt.Errorf("lease: %w", err))
	}
	if answer.StatusCode != http.StatusOK {
		refused := &apiError{status: answer.StatusCode, text: got}
		_ = json.Unmarshal(got, refused) // a proxy's answer has none of it
		return lease.Because(refused.cause(), refused)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(got, out); err != nil {
		return lease.Because(lease.Unreadable, fmt.Errorf("lease: DynamoDB's answer: %w", err))
	}
	return nil
}

func (s *Store) signed(ctx context.Context, operation string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	credentials, err := s.o.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, lease.Because(lease.NoCredentials, err)
	}
	digest := sha256.Sum256(body)
	return request, s.signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(digest[:]), "dynamodb", s.o.Region, time.Now())
}
