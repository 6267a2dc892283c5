// Package patient keeps a server's listener alive while accepts fail, for want of file descriptors, say.
package patient

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// pause is how long accepting rests after an error.
const pause = 50 * time.Millisecond

// Listener returns a listener on l whose Accept returns no error but net.ErrClosed. It tries again until it has a connection, and
// logs once a second at most why it has none. Servers give up instead, or try again without logging.
func Listener(l net.Listener, log logrus.FieldLogger) net.Listener {
	return &listener{Listener: l, log: log.WithField("address", l.Addr().String())}
}

type listener struct {
	net.Listener
	log  logrus.FieldLogger
	said atomic.Int64 // when, in Unix nanoseconds
}

func (p *listener) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		if now, said := time.Now().UnixNano(), p.said.Load(); now-said >= int64(time.Second) && p.said.CompareAndSwap(said, now) {
			p.log.WithError(err).Warn("accept failed")
		}
		time.Sleep(pause)
	}
}
