package uplink

import (
	"context"
	"io"
)

// A pipe is a stream within one process.
type pipe[S, R any] struct {
	ctx context.Context
	out chan<- *S
	in  <-chan *R
}

func (p *pipe[S, R]) Send(message *S) error {
	select {
	case p.out <- message:
		return nil
	case <-p.ctx.Done():
		return io.EOF
	}
}

func (p *pipe[S, R]) Recv() (*R, error) {
	select {
	case message := <-p.in:
		return message, nil
	case <-p.ctx.Done():
		return nil, context.Cause(p.ctx)
	}
}

// Here returns a Dial to a leader in the same process. Messages are not encoded.
func (l *Leader) Here() Dial {
	return func(ctx context.Context) (Stream[Up, Down], error) {
		ctx, cancel := context.WithCancelCause(ctx)
		up, down := make(chan *Up), make(chan *Down)
		go func() { cancel(l.Serve(ctx, &pipe[Down, Up]{ctx, down, up})) }()
		return &pipe[Up, Down]{ctx, up, down}, nil
	}
}
