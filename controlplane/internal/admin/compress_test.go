package admin

import (
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// manyInstances is a Source with a thousand.
type manyInstances struct{ fake }

func (m *manyInstances) Instances() []operator.Instance {
	var all []operator.Instance
	for range 500 {
		all = append(all, m.fake.Instances()...)
	}
	return all
}

func TestLongListsAreShortForThoseWhoCanReadIt(t *testing.T) {
	d := open(t, func(o *Options) { o.Source = &manyInstances{} })
	_, plain := d.do(t, "GET", "/api/v1/instances", "", "Accept-Encoding", "identity")
	require.Greater(t, len(plain), 500_000)
	for accepted, compressed := range map[string]bool{"gzip": true, "br, gzip;q=0.8": true, "gzip;q=0": false, "gzip; q=0.0": false, "br": false, "": false} {
		answer, body := d.do(t, "GET", "/api/v1/instances", "", "Accept-Encoding", accepted)
		require.Equal(t, "Accept-Encoding", answer.Header.Get("Vary"))
		if !compressed {
			require.Empty(t, answer.Header.Get("Content-Encoding"), accepted)
			require.Equal(t, plain, body)
			continue
		}
		require.Equal(t, "gzip", answer.Header.Get("Content-Encoding"), accepted)
		require.Less(t, len(body), len(plain)/10)
		reader, err := gzip.NewReader(strings.NewReader(body))
		require.NoError(t, err)
		again, err := io.ReadAll(reader)
		require.NoError(t, err)
		require.Equal(t, plain, string(again))
	}
}
