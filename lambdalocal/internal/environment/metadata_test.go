package environment

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The runtime and extensions learn their availability zone, with the token of their own environment.
func TestTheMetadataOfAnEnvironment(t *testing.T) {
	s, _ := ready(t, func(c *Config) { c.Region = "eu-central-1" })
	for _, of := range []kind{command, extern} {
		vars := s.variables(s.current().addr, of)
		require.Contains(t, vars, "AWS_LAMBDA_METADATA_API="+s.current().addr)
		at := slices.IndexFunc(vars, func(v string) bool { return strings.HasPrefix(v, "AWS_LAMBDA_METADATA_TOKEN=") })
		require.GreaterOrEqual(t, at, 0)
		_, token, _ := strings.Cut(vars[at], "=")
		r := s.call("GET", metadataPath, http.Header{"Authorization": {"Bearer " + token}}, "")
		require.Equal(t, http.StatusOK, r.code)
		require.JSONEq(t, `{"AvailabilityZoneID":"euc1-az1"}`, r.body)
		require.Contains(t, r.header.Get("Cache-Control"), "max-age=")
	}
	for name, authorization := range map[string]string{"none": "", "empty": "Bearer ", "other": "Bearer x", "bare": s.token[:8]} {
		require.Equal(t, http.StatusUnauthorized, s.call("GET", metadataPath, http.Header{"Authorization": {authorization}}, "").code, name)
	}
	require.Equal(t, http.StatusMethodNotAllowed, s.call("POST", metadataPath, nil, "").code)
}

func TestTheZoneOfARegion(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1": "use1-az1", "ap-southeast-2": "apse2-az1", "us-gov-west-1": "usgw1-az1", "me-central-1": "mec1-az1", "ap-northeast-1": "apne1-az1",
	} {
		require.Equal(t, want, zone(region))
	}
}
