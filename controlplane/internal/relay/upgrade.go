package relay

import (
	"net"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + wire.Protocol + "\r\n\r\n"

// switchProtocols sends the 101, and makes the connection a long-lived one: without a deadline, and watched by the kernel.
func switchProtocols(conn *peerConn, watch func(*net.TCPConn) error) error {
	if err := watch(conn.tcp); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(switching)); err != nil {
		return err
	}
	return conn.tcp.SetDeadline(time.Time{})
}

// silence is how long a control stream's peer may leave a keepalive probe, or data, unanswered.
const silence = 2 * time.Second

// watchControl makes the kernel notice a silent peer within about two seconds. The instance's other connections need no such
// watch: they are closed if the peer does not come back.
func watchControl(c *net.TCPConn) error {
	err := c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 1})
	if err != nil {
		return err
	}
	return setUserTimeout(c, silence)
}

// watchTunnel keeps a tunnel's mapping in NATs alive. It sets no limit on unanswered data, because the kernel would take a
// receive window that a slow app has closed for silence.
func watchTunnel(c *net.TCPConn) error {
	return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3})
}
