package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// The functions, as the stack and the dry run call them.
const (
	plain     = "plain"     // outside of a VPC
	extended  = "extended"  // with an extension that stays busy for linger from the beginning of each invocation
	short     = "short"     // whose timeout is 3 s
	throttled = "throttled" // which may have no invocation at all
	inside    = "inside"    // in a VPC, with a NAT gateway between it and the witness
)

var functions = []string{plain, extended, short, throttled, inside}

// linger is how long the extension is busy.
const linger = 2 * time.Second

// A stage is the place where probes run: AWS, or this machine with lambdalocal.
type stage struct {
	lambda  *lambda.Client
	names   map[string]string // of the functions there
	witness witness
	frozen  time.Duration // how long an environment is left before it is taken for frozen
	long    time.Duration // how long a long invocation lasts
	idle    time.Duration // how long an idle environment is watched
}

// An order and a reply are the function's event and answer: package probe.
type order struct {
	Name string        `json:"name,omitempty"`
	Hold time.Duration `json:"hold,omitempty"`
	Beat time.Duration `json:"beat,omitempty"`
	Use  string        `json:"use,omitempty"`
}

type reply struct {
	Cold         bool
	Took, Dialed time.Duration
	Read, Error  string
}

// A call is the result of an invocation, as its caller saw it.
type call struct {
	reply
	took  time.Duration // from Invoke to its answer
	log   string        // its end, if it was asked for
	fault string        // Lambda's word for what the function did wrong
}

func (s *stage) call(ctx context.Context, function string, o order, logs types.LogType) (call, error) {
	payload, err := json.Marshal(o)
	if err != nil {
		return call{}, err
	}
	name, began := s.names[function], time.Now()
	out, err := s.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: payload, LogType: logs})
	c := call{took: time.Since(began)}
	if err != nil {
		return c, err
	}
	if out.FunctionError != nil {
		c.fault = *out.FunctionError
	} else if err := json.Unmarshal(out.Payload, &c.reply); err != nil {
		return c, fmt.Errorf("the answer of %s: %w", function, err)
	}
	if out.LogResult != nil {
		text, err := base64.StdEncoding.DecodeString(*out.LogResult)
		if err != nil {
			return c, err
		}
		c.log = string(text)
	}
	if c.Error != "" {
		return c, fmt.Errorf("%s says: %s", function, c.Error)
	}
	return c, nil
}

// way returns how long an Invoke takes that runs nothing, as the median of some. That is the way between this machine and Lambda.
func (s *stage) way(ctx context.Context) (time.Duration, error) {
	name, all := s.names[plain], []time.Duration{}
	for range samples {
		began := time.Now()
		if _, err := s.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, InvocationType: types.InvocationTypeDryRun}); err != nil {
			return 0, err
		}
		all = append(all, time.Since(began))
	}
	return median(all), nil
}

// samples is the number of measurements of which the median is taken.
const samples = 11

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// A witness is the server that sees what functions do with connections.
type witness struct{ url, token string }

// seen is what the witness knows of the connections of a name.
type seen struct {
	Lines []struct {
		Text string
		At   time.Time
	}
	End     string
	Unacked uint32
}

func (w witness) do(ctx context.Context, method, name string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.url+"/"+name, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.Join(errors.New("the witness answers "+response.Status), response.Body.Close())
	}
	return response, err
}

// see returns what the witness has seen under a name.
func (w witness) see(ctx context.Context, name string) (s seen, err error) {
	response, err := w.do(ctx, http.MethodGet, name)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	return s, json.NewDecoder(response.Body).Decode(&s)
}

// up waits until the witness answers, whose host may still be starting.
func (w witness) up(ctx context.Context, limit time.Duration) error {
	for began := time.Now(); ; {
		_, err := w.see(ctx, "up")
		if err == nil || time.Since(began) > limit {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write has the witness send a line on the last connection of a name.
func (w witness) write(ctx context.Context, name string) error {
	response, err := w.do(ctx, http.MethodPost, name)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// await asks what the witness has seen, at growing intervals, until that is enough or the time is over. It returns the last answer.
func (w witness) await(ctx context.Context, name string, limit time.Duration, enough func(seen) bool) (s seen, err error) {
	for began, pause := time.Now(), 20*time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		if s, err = w.see(ctx, name); err != nil || enough(s) || time.Since(began) > limit {
			return s, err
		}
		select {
		case <-time.After(min(pause, limit)):
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}
