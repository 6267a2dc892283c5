package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// rehearse runs do on a stage of this machine, with lambdalocal in the place of Lambda. lambdalocal has its defaults, except for what would
// take long. Tests may change it further.
func rehearse(ctx context.Context, dir, token string, change func(*lambdalocal.Config), do func(context.Context, *stage) error) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched, asked, ended, err := startWitness(ctx, filepath.Join(dir, "witness", "witness"), token)
	if err != nil {
		return err
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	cfg := local(dir, map[string]string{"PROOF_WITNESS": watched, "PROOF_TOKEN": token, "PROOF_LINGER": linger.String()})
	change(&cfg)
	local, err := lambdalocal.New(cfg, log)
	if err != nil {
		cancel()
		return errors.Join(err, ended())
	}
	over := make(chan error, 1)
	go func() { over <- local.Run(ctx) }()
	s := &stage{
		lambda: lambda.New(lambda.Options{
			Region: "us-east-1", BaseEndpoint: aws.String(local.InvokeURL()), RetryMaxAttempts: 1, Credentials: aws.AnonymousCredentials{},
		}),
		names: map[string]string{}, witness: witness{"http://" + asked, token},
		frozen: 200 * time.Millisecond, long: 6 * time.Second, idle: 16 * time.Second,
	}
	for _, name := range functions {
		s.names[name] = name
	}
	err = do(ctx, s)
	cancel()
	return errors.Join(err, <-over, ended())
}

// local is a configuration with the functions of the stack.
func local(dir string, env map[string]string) lambdalocal.Config {
	cfg := lambdalocal.Default()
	cfg.Address = "127.0.0.1:0"
	for _, name := range functions {
		f := lambdalocal.DefaultFunction(name)
		f.Command, f.Env, f.Timeout = []string{filepath.Join(dir, "function", "bootstrap")}, env, time.Minute
		f.IdleExpiry = lambdalocal.Fixed(time.Hour)
		cfg.Functions = append(cfg.Functions, f)
	}
	of := func(name string) *lambdalocal.Function {
		for i := range cfg.Functions {
			if cfg.Functions[i].Name == name {
				return &cfg.Functions[i]
			}
		}
		panic(name)
	}
	none := 0
	of(throttled).ReservedConcurrency = &none
	of(short).Timeout = 3 * time.Second
	of(extended).Extensions = []lambdalocal.Extension{lambdalocal.Program(filepath.Join(dir, "layer", "extensions", "proof"))}
	of(extended).IdleExpiry = lambdalocal.Fixed(4 * time.Second) // for 10 minutes
	return cfg
}

// startWitness starts the witness, and returns its two addresses. It ends when ctx does, and ended waits for that.
func startWitness(ctx context.Context, binary, token string) (watched, asked string, ended func() error, err error) {
	c := exec.CommandContext(ctx, binary, "127.0.0.1:0", "127.0.0.1:0")
	c.Env, c.Stderr = []string{"PROOF_TOKEN=" + token}, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	out, err := c.StdoutPipe()
	if err != nil {
		return "", "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", "", nil, err
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscan(said, &watched, &asked)
	}
	ended = func() error {
		if err := c.Wait(); err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	}
	return watched, asked, ended, err
}
