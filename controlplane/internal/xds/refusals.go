package xds

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

// soundHost matches the host of a legal request (RFC 9110, 7.2; RFC 3986, 3.2.2): a name or an address, and a port up to 65535.
// It may be empty. A comma would be legal in a name but is not matched, because Envoy joins two Host fields with it.
const soundHost = `(?:\[(?:[0-9A-Fa-f:.]+|[vV][0-9A-Fa-f]+\.[-A-Za-z0-9._~!$&'()*+;=:]+)\]|(?:[-A-Za-z0-9._~!$&'()*+;=]|%[0-9A-Fa-f]{2})*)` +
	`(?::0*(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{0,4}))?`

// soundPath matches the paths and queries that a peer's server accepts: any visible characters, which is more than RFC 3986 allows.
const soundPath = `/(?:[!-$&->@-~]|%[0-9A-Fa-f]{2})*(?:\?[!-~]*)?`

// malformedHost refuses requests without a valid host, or with two. Envoy itself checks only the characters.
func malformedHost() *routev3.Route { return refuseUnless("malformed-host", ":authority", soundHost) }

// malformedPath refuses requests that no peer would accept. A Go server resets the stream of such a request, which would look
// like a fault of the function.
func malformedPath() *routev3.Route { return refuseUnless("malformed-path", ":path", soundPath) }

// excessiveLength refuses requests that say to have a body of 10^18 bytes or more. A Go server resets the stream of one whose
// length does not fit into 63 bits.
func excessiveLength() *routev3.Route {
	return refusal("excessive-length", anyPath(header("content-length", fully(`0*[1-9][0-9]{18,}`))), 400, malformed, causeInvalid)
}

// upgradeWithBody refuses offers to upgrade that come with a body. Envoy would not send the body before the app has agreed to the
// upgrade, and the app would wait for it.
func upgradeWithBody() *routev3.Route {
	match := anyPath(present("upgrade"), header("content-length", fully(`0*[1-9][0-9]*`)))
	return refusal("upgrade-with-body", match, 501, unsupported, causeUnsupported)
}

// refuseUnless refuses requests with a header that the expression does not match as a whole.
func refuseUnless(name, headerName, regex string) *routev3.Route {
	unsound := header(headerName, fully(regex))
	unsound.InvertMatch = true
	return refusal(name, anyPath(unsound), 400, malformed, causeInvalid)
}

// anyPath matches requests for every path whose headers match.
func anyPath(headers ...*routev3.HeaderMatcher) *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}, Headers: headers}
}

// refusal is a route that Envoy answers by itself.
func refusal(name string, match *routev3.RouteMatch, status uint32, title, cause string) *routev3.Route {
	return &routev3.Route{
		Name:  name,
		Match: match,
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: status,
			Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{
				InlineString: problemBody(strconv.Itoa(int(status)), title, cause),
			}},
		}},
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{
			setHeader("content-type", problemType), setHeader(extproc.CauseHeader, cause),
		},
	}
}

func setHeader(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}
