package wire_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Only an HTTP/2 client is told in HTTP/2 that nothing was served, and none can hold the connection.
func TestEndUnservedBlocksForItsLimitAtMost(t *testing.T) {
	const limit = time.Minute
	for name, tt := range map[string]struct {
		says string
		told bool
		took time.Duration
	}{
		"HTTP/2 client that does not leave": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true, limit},
		"upgrade over HTTP/1.1":             {"POST /chat HTTP/1.1\r\n", false, 0},
		"nothing":                           {"", false, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := net.Pipe()
				go func() { _, _ = io.WriteString(client, tt.says) }()
				answer := make(chan []byte)
				go func() {
					all, _ := io.ReadAll(client)
					answer <- all
				}()
				began := time.Now()
				wire.EndUnserved(conn, limit)
				require.Equal(t, tt.took, time.Since(began))
				require.Equal(t, tt.told, len(<-answer) > 0)
			})
		})
	}
}
