package controlplane

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

// Relays and Envoys dial several times a second, from another port each time, and x509 says what time it is.
func TestARefusedCertificateIsSpokenOfOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, said := logtest.NewNullLogger()
		r := &refusals{log: log}
		for n := range 600 {
			for _, who := range []string{"relay/edge", "envoy/edge"} {
				r.note(&net.TCPAddr{Port: n}, errors.New(who+": certificate has expired: current time "+fmt.Sprint(n)))
				time.Sleep(100 * time.Millisecond)
			}
		}
		counts := map[string]int{}
		for _, entry := range said.AllEntries() {
			counts[fmt.Sprint(entry.Data["error"])[:5]]++
		}
		require.Equal(t, map[string]int{"relay": 2, "envoy": 2}, counts)
	})
}
