package xds

import (
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

const (
	// upgradeProtocol is the only protocol to which connections may be upgraded.
	upgradeProtocol = "websocket"
	// namelessHost is the host of HTTP/1.0 requests without one, because Envoy needs one.
	namelessHost = "localhost"
)

// http1 configures HTTP/1, including HTTP/1.0. An offer to upgrade to another protocol is ignored (RFC 9110, 7.8); otherwise
// Envoy would refuse it. Only methods that Envoy knows are allowed, because its option to allow others is outside its threat
// model.
func http1() *corev3.Http1ProtocolOptions {
	return &corev3.Http1ProtocolOptions{
		EnableTrailers:        true,
		AcceptHttp_10:         true,
		DefaultHostForHttp_10: namelessHost,
		IgnoreHttp_11Upgrade:  []*matcherv3.StringMatcher{fully(anythingBut(upgradeProtocol))},
	}
}

// anythingBut returns a regular expression in RE2's syntax that matches every text but the word, in any case. RE2 has no
// negation, so it lists: the word with something after it, each proper prefix of the word, and each of these with another
// character after it.
func anythingBut(word string) string {
	alternatives := []string{regexp.QuoteMeta(word) + ".+"}
	for i := range len(word) {
		begun := regexp.QuoteMeta(word[:i])
		alternatives = append(alternatives, begun, begun+"[^"+regexp.QuoteMeta(word[i:i+1])+"].*")
	}
	return "(?is)(?:" + strings.Join(alternatives, "|") + ")"
}
