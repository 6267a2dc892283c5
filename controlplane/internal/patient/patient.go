// Package patient keeps a server's listener alive while accepts fail, for want of file descriptors, say.
package patient

import (
	"errors"
	"net"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"
)

// pause is how long accepting rests after an error.
const pause = 50 * time.Millisecond

// Listener returns a listener on l whose Accept returns no error but net.ErrClosed. It tries again until it has a connection, and
// logs once a second at most why it has none. Servers give up instead, or try again without logging.
func Listener(l net.Listener, log logrus.FieldLogger) net.Listener {
	return &listener{l, log.WithField("address", l.Addr().String()), rate.Sometimes{Interval: time.Second}}
}

type listener struct {
	net.Listener
	log    logrus.FieldLogger
	seldom rate.Sometimes
}

func (p *listener) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		p.seldom.Do(func() { p.log.WithError(err).Warn("accept failed") })
		time.Sleep(pause)
	}
}
