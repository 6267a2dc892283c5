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

// Each client is told in its own protocol that nothing was served, and none can hold the connection.
func TestEndUnservedBlocksForItsLimitAtMost(t *testing.T) {
	const limit = time.Minute
	for name, tt := range map[string]struct {
		says string
		told string // how it begins
		took time.Duration
	}{
		"HTTP/2 client that does not leave": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00\x00\x00\x04", limit},
		"upgrade over HTTP/1.1":             {"GET /chat HTTP/1.1\r\n", "HTTP/1.1 503 ", limit},
		"nothing":                           {"", "", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := net.Pipe()
				go func() { _, _ = io.WriteString(client, tt.says) }()
				answer := make(chan string)
				go func() {
					all, _ := io.ReadAll(client)
					answer <- string(all)
				}()
				began := time.Now()
				wire.EndUnserved(conn, limit)
				require.Equal(t, tt.took, time.Since(began))
				told := <-answer
				require.Equal(t, tt.told, told[:min(len(tt.told), len(told))])
				require.Equal(t, tt.told == "", told == "")
			})
		})
	}
}
