package websocket

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Accept answers a WebSocket handshake over HTTP/1.1 and takes the connection over. When it returns an error the client has
// been answered. The caller must Drop the Conn.
func Accept(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this path wants a WebSocket handshake", http.StatusUpgradeRequired)
		return nil, errors.New("not a websocket handshake")
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil, fmt.Errorf("hijack: %w", err)
	}
	_ = conn.SetDeadline(time.Time{}) // the server's own deadlines end here
	var answer strings.Builder
	answer.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	header := w.Header().Clone()
	header.Set("Upgrade", "websocket")
	header.Set("Connection", "Upgrade")
	header.Set("Sec-WebSocket-Accept", accept(key))
	_ = header.Write(&answer) // a strings.Builder does not fail
	answer.WriteString("\r\n")
	if _, err := conn.Write([]byte(answer.String())); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &Conn{conn: conn, reader: buffered.Reader}, nil
}

// Dial opens a WebSocket to an http:// URL. The response is not nil when the server answered, whatever it said; its body
// is closed. ctx bounds the handshake only. The caller must Drop the Conn.
func Dial(ctx context.Context, target string, header http.Header) (*Conn, *http.Response, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	reader := bufio.NewReader(conn)
	response, err := handshake(conn, reader, u, header)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, response, fmt.Errorf("websocket handshake: %w", err)
	}
	return &Conn{conn: conn, reader: reader, client: true}, response, nil
}

func handshake(conn net.Conn, reader *bufio.Reader, u *url.URL, header http.Header) (*http.Response, error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header.Clone()}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", key)
	if err := r.Write(conn); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(reader, r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		_ = response.Body.Close()
		return response, fmt.Errorf("the server answered %s", response.Status)
	}
	if response.Header.Get("Sec-WebSocket-Accept") != accept(key) {
		return response, errors.New("wrong Sec-WebSocket-Accept")
	}
	return response, nil
}
