package xds

import (
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

const (
	// upgradeProtocol is the only one that connections may be upgraded to.
	upgradeProtocol = "websocket"
	// namelessHost is the host of HTTP/1.0 requests that name none. Envoy needs one.
	namelessHost = "localhost"
)

// http1 is what HTTP/1 clients may speak: HTTP/1.0 too. An offer to upgrade to something else is a request like any other
// (RFC 9110, 7.8); Envoy would refuse it. Methods are those that Envoy knows, because its option to take others is not
// covered by its threat model.
func http1() *corev3.Http1ProtocolOptions {
	return &corev3.Http1ProtocolOptions{
		EnableTrailers:        true,
		AcceptHttp_10:         true,
		DefaultHostForHttp_10: namelessHost,
		IgnoreHttp_11Upgrade: []*matcherv3.StringMatcher{{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
			SafeRegex: &matcherv3.RegexMatcher{Regex: anythingBut(upgradeProtocol)},
		}}},
	}
}

// anythingBut returns a regular expression, in RE2's syntax, that matches every text but the word, in any case. RE2 has no
// negation, so these are: the word with something behind it, each shorter beginning of it, and each with another character
// behind it.
func anythingBut(word string) string {
	alternatives := []string{regexp.QuoteMeta(word) + ".+"}
	for i := range len(word) {
		begun := regexp.QuoteMeta(word[:i])
		alternatives = append(alternatives, begun, begun+"[^"+regexp.QuoteMeta(word[i:i+1])+"].*")
	}
	return "(?is)(?:" + strings.Join(alternatives, "|") + ")"
}
