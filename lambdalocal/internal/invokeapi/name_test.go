package invokeapi

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTarget(t *testing.T) {
	for _, test := range []struct{ text, parameter, name, qualifier string }{
		{"web", "", "web", "$LATEST"},
		{"web", "live", "web", "live"},
		{"web:7", "", "web", "7"},
		{"web:live", "live", "web", "live"},
		{"123456789012:function:web", "", "web", "$LATEST"},
		{"arn:aws:lambda:us-east-1:123456789012:function:web", "", "web", "$LATEST"},
		{"arn:aws-cn:lambda:cn-north-1:123456789012:function:web:live", "", "web", "live"},
	} {
		got, err := parseTarget(test.text, test.parameter)
		require.NoError(t, err, test.text)
		require.Equal(t, test.name+" "+test.qualifier, got.name+" "+got.qualifier, test.text)
	}
	for _, test := range [][2]string{{"", ""}, {"we b", ""}, {"web:", ""}, {"web:", "live"}, {"web:live", "other"}, {"web:a b", ""}, {"web:a:b", ""}, {"web", "$OLDEST"}} {
		_, err := parseTarget(test[0], test[1])
		require.Error(t, err, "%q %q", test[0], test[1])
	}
}

func FuzzParseTarget(f *testing.F) {
	f.Add("web", "live")
	f.Add("arn:aws:lambda:us-east-1:123456789012:function:web:7", "")
	f.Fuzz(func(t *testing.T, text, parameter string) {
		got, err := parseTarget(text, parameter)
		if err == nil {
			require.NotEmpty(t, got.name)
			require.NotEmpty(t, got.qualifier)
			again, err := parseTarget(got.name, got.qualifier)
			require.NoError(t, err)
			require.Equal(t, target{name: got.name, qualifier: got.qualifier}, again)
		}
	})
}
