// Package awslambda starts instances by invoking AWS Lambda functions: one synchronous Invoke per instance, which lasts
// as long as the instance serves. AWS types end here.
package awslambda

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/emulator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// An API invokes functions: AWS's, or another endpoint that speaks its Invoke API.
type API struct {
	config   aws.Config
	endpoint string

	mu     sync.Mutex // guards places
	places map[Place]*lambda.Client
}

// A Place is a region of an account. An empty Region is that of the API. An empty Role means our own credentials and their account;
// any other is the ARN of a role that they may assume.
type Place struct{ Region, Role string }

// New prepares the SDK. It reads configuration and opens no connection. region may be empty where the SDK's default
// chain finds one; endpoint is empty for AWS itself.
func New(ctx context.Context, region, endpoint string) (*API, error) {
	if emulator.At(endpoint) {
		region = cmp.Or(region, emulator.Region)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx,
		awsconfig.WithRegion(region),
		awsconfig.WithHTTPClient(httpClient()),
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }), // the scaler owns retries: each costs money
	)
	if err != nil {
		return nil, fmt.Errorf("aws configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("aws configuration: no region: set aws.region or AWS_REGION")
	}
	return &API{config: cfg, endpoint: endpoint, places: map[Place]*lambda.Client{}}, nil
}

// in returns the client of a place. It opens no connection. A role is assumed at the first invocation, and again before its credentials
// expire.
func (a *API) in(p Place) *lambda.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.places[p] == nil {
		a.places[p] = lambda.NewFromConfig(a.configIn(p), func(o *lambda.Options) {
			if a.endpoint != "" {
				o.BaseEndpoint = aws.String(a.endpoint)
			}
		})
	}
	return a.places[p]
}

func (a *API) configIn(p Place) aws.Config {
	cfg := a.config.Copy()
	if p.Region != "" {
		cfg.Region = p.Region
	}
	switch {
	case p.Role != "":
		assume := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), p.Role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = sessionName
		})
		cfg.Credentials = aws.NewCredentialsCache(assume, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewBefore })
	case emulator.At(a.endpoint):
		cfg.Credentials = aws.AnonymousCredentials{}
	}
	return cfg
}

const (
	sessionName = "lambda-dispatch" // the name in CloudTrail of whoever has assumed a role
	renewBefore = 5 * time.Minute   // the end of a role's credentials
)

// httpClient suits thousands of requests at once that stay silent for up to 15 minutes. It has TCP keepalive, so that no middlebox
// forgets them, and no timeout for the answer. Each request has a connection of its own: with HTTP/2 a broken connection would take the
// answers of a hundred invocations with it. Each dial resolves the endpoint anew and tries all of its addresses.
func httpClient() aws.HTTPClient {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) {
			d.Timeout = 5 * time.Second
			d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}
		}).
		WithTransportOptions(func(t *http.Transport) {
			t.Protocols = &http1
			t.TLSNextProto, t.TLSClientConfig.NextProtos = nil, nil // what the SDK's default has prepared for HTTP/2
			t.MaxConnsPerHost = 0
			// All idle connections are kept, because each saves the next burst a TLS handshake. The SDK's default ends them after a minute and
			// a half without use.
			t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, math.MaxInt
		})
}

// Function returns the provider for a function of a place with a qualifier; "" is $LATEST. name may be an ARN, which may end with the
// qualifier.
func (a *API) Function(p Place, name, qualifier string) *Function {
	if arn := strings.Split(name, ":"); qualifier == "" && len(arn) == arnParts+1 {
		name, qualifier = strings.Join(arn[:arnParts], ":"), arn[arnParts]
	}
	f := &Function{client: a.in(p), name: aws.String(name)}
	if qualifier != "" {
		f.qualifier = aws.String(qualifier)
	}
	return f
}

// arnParts is how many parts an ARN without a qualifier has.
const arnParts = 7

// A Function is a provider.Provider.
type Function struct {
	client    *lambda.Client
	name      *string
	qualifier *string
}

// Invoke implements provider.Provider.
func (f *Function) Invoke(ctx context.Context, version string, invocation wire.Invocation) provider.End {
	end := f.invoke(ctx, version, invocation)
	// A function without lambdapeer may answer with the event that it got. The token in it must not get into logs, nor a part of it: it
	// is valid until the instance is forgotten.
	end.Detail = wire.CutDetail(strings.ReplaceAll(end.Detail, invocation.Token, "(token)"))
	return end
}

func (f *Function) invoke(ctx context.Context, version string, invocation wire.Invocation) provider.End {
	payload, err := json.Marshal(invocation)
	if err != nil {
		return provider.End{Cause: scaler.Unknown, Detail: fmt.Sprintf("encode payload: %v", err), NeverRan: true}
	}
	qualifier := f.qualifier
	if version != "" {
		qualifier = aws.String(version)
	}
	call := &progress{}
	out, err := f.client.Invoke(call.follow(ctx), &lambda.InvokeInput{
		FunctionName:   f.name,
		Qualifier:      qualifier,
		InvocationType: types.InvocationTypeRequestResponse,
		LogType:        types.LogTypeTail,
		Payload:        payload,
	})
	if err != nil {
		return failed(err, call)
	}
	end := ended(out)
	end.Version = aws.ToString(out.ExecutedVersion)
	end.Request, _ = awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	return end
}

// A progress says how far a call got. An invocation that cannot have run costs nothing.
type progress struct {
	began     atomic.Bool // a connection was asked for
	connected atomic.Bool // there was one: Lambda may have got the request
}

func (p *progress) follow(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { p.began.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { p.connected.Store(true) },
	})
}
