package relay

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// register answers a peer that registers by itself. The control plane decides whether its token is valid.
func (r *Relay) register(ctx context.Context, conn *peerConn, req *http.Request) error {
	if req.Method != http.MethodPost {
		return &refusal{drop: DropWrongMethod, text: "only POST is possible here", header: "Allow: POST\r\n"}
	}
	bearer, err := bearerToken(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, wire.MaxInvocation+1))
	if err != nil {
		return refuse(timeoutOr(ctx, DropMalformedRequest), "the registration is incomplete")
	}
	registration, err := wire.DecodeRegistration(body)
	if err != nil {
		return refuse(DropMalformedRequest, err.Error())
	}
	conn.visit.Pause() // waiting for the control plane needs no turn
	invocation, err := r.events.Register(ctx, bearer, registration)
	if err != nil {
		return &refusal{drop: DropRegisterRefused, text: err.Error(), code: registerStatus(err)}
	}
	if err := conn.admit(); err != nil {
		return refuse(DropGaveWay, err.Error())
	}
	return sendInvocation(conn, invocation)
}

func sendInvocation(conn *peerConn, invocation wire.Invocation) error {
	defer func() { _ = conn.Close() }()
	text, err := json.Marshal(invocation)
	if err != nil {
		return err
	}
	if err := writeAnswer(conn, http.StatusOK, "application/json", "", string(text)); err != nil {
		return nil // the peer left; its instance expires
	}
	_ = conn.CloseWrite()
	return nil
}

func registerStatus(err error) int {
	switch {
	case errors.Is(err, relays.ErrUnauthorized):
		return http.StatusUnauthorized
	case errors.Is(err, relays.ErrUnknownFunction):
		return http.StatusNotFound
	case errors.Is(err, relays.ErrRegisterTooOften):
		return http.StatusTooManyRequests
	default:
		return http.StatusServiceUnavailable
	}
}
