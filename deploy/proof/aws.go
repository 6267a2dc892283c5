package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// stackName is what the CDK app calls its stack.
const stackName = "LambdaDispatchProof"

// lifetime is the time after which the stack deletes itself if nobody has done so.
const lifetime = 3 * time.Hour

// perform deploys the stack, runs do on it, and deletes it, also after a failure or an interrupt.
func perform(ctx context.Context, o options, token string, do func(context.Context, *stage) error) (region string, err error) {
	load := []func(*awsconfig.LoadOptions) error{awsconfig.WithHTTPClient(patientClient())}
	if o.region != "" {
		load = append(load, awsconfig.WithRegion(o.region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return "", err
	}
	if cfg.Region == "" {
		return "", errors.New("-region: must be set")
	}
	outputs := filepath.Join(o.build, "outputs.json")
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Minute)
		defer cancel()
		if gone := cdk(ctx, o, cfg.Region, token, "destroy", "--force"); gone != nil {
			err = errors.Join(err, fmt.Errorf("the stack %s is not deleted: %w; do it by hand, or it does it by itself %s after its start", stackName, gone, lifetime))
		}
	}()
	if err := cdk(ctx, o, cfg.Region, token, "deploy", "--require-approval", "never", "--outputs-file", outputs); err != nil {
		return cfg.Region, err
	}
	s, err := stageOf(outputs, token)
	if err != nil {
		return cfg.Region, err
	}
	s.lambda = lambda.NewFromConfig(cfg, func(l *lambda.Options) { l.RetryMaxAttempts = 1 })
	if err := s.witness.up(ctx, 5*time.Minute); err != nil {
		return cfg.Region, fmt.Errorf("the witness: %w", err)
	}
	return cfg.Region, do(ctx, s)
}

// patientClient waits for an answer however long it takes. TCP keepalive keeps the connection from being forgotten meanwhile.
func patientClient() aws.HTTPClient {
	return awshttp.NewBuildableClient().WithDialerOptions(func(d *net.Dialer) { d.Timeout, d.KeepAlive = 10*time.Second, 15*time.Second })
}

// stageOf makes a stage of the stack's outputs.
func stageOf(file, token string) (*stage, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all map[string]map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	outputs := all[stackName]
	s := &stage{
		names: map[string]string{}, witness: witness{"http://" + outputs["Witness"], token},
		frozen: time.Second, long: 14*time.Minute + 30*time.Second, idle: 40 * time.Minute,
	}
	for _, name := range functions {
		if s.names[name] = outputs["Function"+name]; s.names[name] == "" {
			return nil, fmt.Errorf("%s: the function %s is missing", file, name)
		}
	}
	return s, nil
}

// cdk runs a command of the CDK over the app in deploy/cdk/proof.
func cdk(ctx context.Context, o options, region, token string, args ...string) error {
	build, err := filepath.Abs(o.build)
	if err != nil {
		return err
	}
	all := append([]string{"--yes", "aws-cdk@" + cliVersion, "--app", "node out/proof/app.js", "--output", filepath.Join(build, "cdk.out")}, args...)
	c := exec.CommandContext(ctx, "npx", all...)
	c.Dir, c.Stdout, c.Stderr = "deploy/cdk", os.Stderr, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.Env = append(os.Environ(), "AWS_REGION="+region, "CDK_DEFAULT_REGION="+region, "PROOF_BUILD="+build, "PROOF_TOKEN="+token,
		"PROOF_EMAIL="+o.email, "PROOF_LINGER="+linger.String(), "PROOF_UNTIL="+time.Now().Add(lifetime).UTC().Format("2006-01-02T15:04:05"))
	return c.Run()
}

// cliVersion is the version of the CDK's command line.
const cliVersion = "2.1148.1"
