package slots

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnAppSeesXRaysIDWithoutItsLineage(t *testing.T) {
	for sent, want := range map[string]string{
		"Root=1-a;Parent=b;Sampled=1;Lineage=c:1|d:5": "Root=1-a;Parent=b;Sampled=1",
		"Lineage=c:1;Root=1-a":                        "Root=1-a",
		"Root=1-a; Lineage=c:1; Sampled=0":            "Root=1-a; Sampled=0",
		"Root=1-a;Sampled=1":                          "Root=1-a;Sampled=1",
		"Root=1-a;Self=1-Lineage":                     "Root=1-a;Self=1-Lineage",
		"Lineage=c:1":                                 "",
		"":                                            "",
	} {
		var seen string
		handler := New(1, "").Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get(xrayHeader) }))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(xrayHeader, sent)
		handler.ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, want, seen, sent)
	}
}

// An empty id would be one that the app's tracer cannot read.
func TestAnIDOfALineageAloneIsRemoved(t *testing.T) {
	for _, c := range []struct{ sent, want []string }{
		{[]string{"Lineage=c:1"}, nil}, {[]string{"Lineage=c:1", "Root=1-a;Lineage=c:1"}, []string{"Root=1-a"}}, {nil, nil},
	} {
		header := http.Header{"Other": {"stays"}}
		if c.sent != nil {
			header[xrayHeader] = c.sent
		}
		forgetLineage(header)
		require.Equal(t, c.want, header[xrayHeader])
		_, there := header[xrayHeader]
		require.Equal(t, c.want != nil, there)
	}
}
