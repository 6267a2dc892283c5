// Command gofunction is a function for tests, on AWS's own runtime client for Go. It is a module of its own: nothing that we
// ship depends on that client.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// An order is the event.
type order struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	Size int    `json:"size"`
	To   string `json:"to"` // URL
}

func main() { lambda.Start(handle) }

var inFlight atomic.Int32

func handle(ctx context.Context, o order) (any, error) {
	busy := inFlight.Add(1)
	defer inFlight.Add(-1)
	switch o.Do {
	case "fail":
		return nil, errors.New(o.Text)
	case "panic":
		panic(o.Text)
	case "exit":
		os.Exit(7)
	case "hang":
		select {}
	case "large":
		return strings.Repeat("x", o.Size), nil
	case "length":
		return len(o.Text), nil
	case "context":
		return describe(ctx), nil
	case "busy":
		if o.To != "" {
			if err := post(ctx, o); err != nil {
				return nil, err
			}
		}
		time.Sleep(time.Duration(o.Size) * time.Millisecond)
		return map[string]any{"busy": busy, "environment": os.Getenv("AWS_LAMBDA_LOG_STREAM_NAME")}, nil
	case "stream":
		return stream(o), nil
	}
	return o, nil
}

// describe answers with what the client made of the invocation's headers.
func describe(ctx context.Context) map[string]any {
	deadline, _ := ctx.Deadline()
	invocation, _ := lambdacontext.FromContext(ctx)
	return map[string]any{
		"request_id": invocation.AwsRequestID, "arn": invocation.InvokedFunctionArn,
		"deadline_ms": deadline.UnixMilli(), "custom": invocation.ClientContext.Custom,
		"trace_id": os.Getenv("_X_AMZN_TRACE_ID"), "name": lambdacontext.FunctionName, "memory": lambdacontext.MemoryLimitInMB,
	}
}

// post sends the text, with the invocation's id for $ID in it, as an agent inside the function sends what it has to tell.
func post(ctx context.Context, o order) error {
	invocation, _ := lambdacontext.FromContext(ctx)
	text := strings.ReplaceAll(o.Text, "$ID", invocation.AwsRequestID)
	response, err := http.Post(o.To, "application/x-ndjson", strings.NewReader(text))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusBadRequest {
		return errors.New(response.Status)
	}
	return nil
}

// stream is an answer in parts, each written when the one before was read. It fails in the end if there is a text.
func stream(o order) io.Reader {
	r, w := io.Pipe()
	go func() {
		for i := range o.Size {
			_, _ = fmt.Fprintf(w, "part %d\n", i)
		}
		if o.Text != "" {
			_ = w.CloseWithError(errors.New(o.Text))
			return
		}
		_ = w.Close()
	}()
	return r
}
