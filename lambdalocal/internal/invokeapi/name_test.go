package invokeapi

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTarget(t *testing.T) {
	for _, test := range []struct{ text, parameter, name, qualifier string }{
		{"web", "", "web", ""},
		{"web", "$LATEST", "web", "$LATEST"},
		{"web:$LATEST", "", "web", "$LATEST"},
		{"web", "$latest", "web", "$latest"},
		{"web.1", "", "web.1", ""},
		{strings.Repeat("x", 65), "", strings.Repeat("x", 65), ""},
		{"web", "live", "web", "live"},
		{"web:7", "", "web", "7"},
		{"web:live", "live", "web", "live"},
		{"123456789012:function:web", "", "web", ""},
		{"arn:aws:lambda:us-east-1:123456789012:function:web", "", "web", ""},
		{"arn:aws:lambda:us-east-1:123456789012:function", "", "function", ""},
		{"arn:aws-cn:lambda:cn-north-1:123456789012:function:web:live", "", "web", "live"},
	} {
		got, err := parseTarget(test.text, test.parameter)
		require.NoError(t, err, test.text)
		require.Equal(t, test.name+" "+test.qualifier, got.name+" "+got.qualifier, test.text)
	}
	for _, test := range [][2]string{
		{"", ""},
		{"we b", ""},
		{"web:", ""},
		{"web:", "live"},
		{"web:live", "other"},
		{"web:a b", ""},
		{"web:a:b", ""},
		{"web:$OLDEST", ""},
		{"web", "a!"},
		{"web", strings.Repeat("x", 129)},
		{"web:$LATEST", "1"},
		{"arn:aws:lambda::123456789012:function:web", ""},
		{"arn:aws:lambda:us-east-1::function:web", ""},
		{"arn:aws:ec2:us-east-1:123456789012:instance:i-1", ""},
		{"you:function:web", ""},
	} {
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
			require.NotEmpty(t, got.version())
			again, err := parseTarget(got.name, got.qualifier)
			require.NoError(t, err)
			require.Equal(t, target{name: got.name, qualifier: got.qualifier}, again)
		}
	})
}
