package extproc

import (
	"context"
	"io"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

// A scripted stream receives what it is given, then the end, and keeps what is sent.
type scripted struct {
	grpc.ServerStream
	ctx      context.Context
	received [][]byte
	sent     []*extprocv3.ProcessingResponse
}

func (s *scripted) Context() context.Context { return s.ctx }

func (s *scripted) Send(reply *extprocv3.ProcessingResponse) error {
	s.sent = append(s.sent, reply)
	return nil
}

func (s *scripted) Recv() (*extprocv3.ProcessingRequest, error) {
	if len(s.received) == 0 {
		return nil, io.EOF
	}
	request := &extprocv3.ProcessingRequest{}
	err := ours.Unmarshal(mem.BufferSlice{mem.SliceBuffer(s.received[0])}, request)
	s.received = s.received[1:]
	return request, err
}
