// Package runtimeapi is a client of Lambda's Runtime API and Extensions API.
package runtimeapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	runtimePath = "/2018-06-01/runtime/"
	// MaxPayload is how many bytes of an event are read: more than Lambda accepts.
	MaxPayload = 6<<20 + 1<<10
	maxText    = 1 << 10 // bytes of an error's text
)

// An Event is one invocation.
type Event struct {
	ID       string
	TraceID  string    // empty: none was given
	ARN      string    // of the function as it was invoked, with a qualifier if there was one; empty: none was given
	Deadline time.Time // zero: none was given
	// ClientContext and Identity are JSON; empty: none was given.
	ClientContext string
	Identity      string
	Payload       []byte // at most MaxPayload bytes of it
}

// A Failure is a function error.
type Failure struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// A Client speaks to the API at one address. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// New returns a Client of the API at address, host:port, as in AWS_LAMBDA_RUNTIME_API.
func New(address string) *Client {
	// No timeouts: the API holds a call for as long as the environment is idle or frozen. No proxy: it is local. No limit of
	// idle connections: on Managed Instances there are many calls at once.
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1 << 20}
	return &Client{base: "http://" + address, http: &http.Client{Transport: transport}}
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Next blocks until the next invocation, or until ctx ends.
func (c *Client) Next(ctx context.Context) (Event, error) {
	res, err := c.do(ctx, http.MethodGet, runtimePath+"invocation/next", nil, nil)
	if err != nil {
		return Event{}, fmt.Errorf("next invocation: %w", err)
	}
	defer res.Body.Close()
	payload, err := io.ReadAll(io.LimitReader(res.Body, MaxPayload))
	if err != nil {
		return Event{}, fmt.Errorf("next invocation: %w", err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	e := Event{ID: res.Header.Get("Lambda-Runtime-Aws-Request-Id"), TraceID: res.Header.Get("Lambda-Runtime-Trace-Id"), Payload: payload}
	e.ARN = res.Header.Get("Lambda-Runtime-Invoked-Function-Arn")
	e.ClientContext, e.Identity = res.Header.Get("Lambda-Runtime-Client-Context"), res.Header.Get("Lambda-Runtime-Cognito-Identity")
	if e.ID == "" {
		return Event{}, fmt.Errorf("next invocation: no Lambda-Runtime-Aws-Request-Id")
	}
	if text := res.Header.Get("Lambda-Runtime-Deadline-Ms"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Event{}, fmt.Errorf("next invocation: Lambda-Runtime-Deadline-Ms: %.40q is not a number", text)
		}
		e.Deadline = time.UnixMilli(ms)
	}
	return e, nil
}

// Respond answers the invocation.
func (c *Client) Respond(ctx context.Context, id string, answer []byte) error {
	if err := c.post(ctx, runtimePath+"invocation/"+id+"/response", nil, answer); err != nil {
		return fmt.Errorf("respond to invocation: %w", err)
	}
	return nil
}

// Stream answers the invocation in pieces, as body delivers them. If body fails, the answer ends with the Failure that broken
// makes of the error; Stream then returns the error, although the invocation has been answered.
func (c *Client) Stream(ctx context.Context, id, contentType string, body io.Reader, broken func(error) Failure) error {
	trailer := http.Header{errorTypeHeader: nil, errorBodyHeader: nil}
	source := &streamed{Reader: body, failed: func(err error) {
		text, _ := json.Marshal(broken(err))
		trailer[errorTypeHeader] = []string{broken(err).Type}
		trailer[errorBodyHeader] = []string{base64.StdEncoding.EncodeToString(text)}
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+runtimePath+"invocation/"+id+"/response", source)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	req.Trailer = trailer
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("respond to invocation: %w", err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxText))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("respond to invocation: status %d: %s", res.StatusCode, strings.TrimSpace(string(text)))
	}
	return source.err
}

// Trailers of an answer that broke off.
const (
	errorTypeHeader = "Lambda-Runtime-Function-Error-Type"
	errorBodyHeader = "Lambda-Runtime-Function-Error-Body"
)

// A streamed body always ends in good order for the API: how it failed is in the trailers.
type streamed struct {
	io.Reader
	failed func(error)
	err    error
}

func (s *streamed) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
		s.failed(err)
		err = io.EOF
	}
	return n, err
}

// Fail ends the invocation as a function error.
func (c *Client) Fail(ctx context.Context, id string, f Failure) error {
	if err := c.fail(ctx, runtimePath+"invocation/"+id+"/error", f); err != nil {
		return fmt.Errorf("fail invocation: %w", err)
	}
	return nil
}

func (c *Client) fail(ctx context.Context, path string, f Failure) error {
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	header := http.Header{errorTypeHeader: {f.Type}}
	return c.post(ctx, path, header, body)
}

func (c *Client) post(ctx context.Context, path string, header http.Header, body []byte) error {
	res, err := c.do(ctx, http.MethodPost, path, header, body)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxText))
	return res.Body.Close()
}

// do returns an answer with a status of 2xx. Any other one becomes an error with the answer's text.
func (c *Client) do(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxText))
	return nil, fmt.Errorf("status %d: %s", res.StatusCode, strings.TrimSpace(string(text)))
}
