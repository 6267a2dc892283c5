package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
)

// sse writes ?n= server-sent events that are ?ms= apart. Each says when it was written.
func sse(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r)
	n, delay := q.whole("n", 5, 1_000_000), q.millis("ms", 100)
	if q.failed(w) {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	for event := 1; event <= int(n); event++ {
		if event > 1 && !pause(r, delay) {
			abort()
		}
		data, err := json.Marshal(contract.Tick{Event: event, Written: time.Now().UnixNano()})
		if err != nil {
			abort()
		}
		send(w, control, fmt.Appendf(nil, "data: %s\n\n", data))
	}
}

// ws echoes messages. The text "close 4001 reason" makes it close the socket with that code; "drop" makes it cut the
// connection without a word.
func ws(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r)
	if err != nil {
		return
	}
	defer func() { _ = conn.Drop() }()
	for {
		opcode, message, err := conn.Read()
		if err != nil || string(message) == "drop" {
			return
		}
		if code, reason, asked := closeCommand(string(message)); asked {
			closeAndWait(conn, code, reason)
			return
		}
		if err := conn.Write(opcode, message); err != nil {
			return
		}
	}
}

// deaf upgrades the connection and then neither reads it nor writes it, nor looks whether anybody is there.
func deaf(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r)
	if err != nil {
		return
	}
	time.Sleep(time.Hour)
	_ = conn.Drop()
}

func closeCommand(message string) (code int, reason string, asked bool) {
	if len(message) > 200 || !strings.HasPrefix(message, "close ") {
		return 0, "", false
	}
	n, _ := fmt.Sscanf(message, "close %d %s", &code, &reason)
	return code, reason, n > 0
}

// closeAndWait reads until the client has answered the close frame.
func closeAndWait(conn *websocket.Conn, code int, reason string) {
	if conn.Close(code, reason) != nil {
		return
	}
	for {
		if _, _, err := conn.Read(); err != nil {
			return
		}
	}
}
