package xds

import (
	"net/netip"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// Limits of a client's connection, in bytes. A queued request holds at most about one buffer and one window of its body. Then
// Envoy stops reading.
const (
	downstreamBuffer           = 512 << 10
	downstreamStreamWindow     = 512 << 10
	downstreamConnectionWindow = 16 << 20
	downstreamStreams          = 1000
)

// Times that are not configurable.
const (
	shakeHands     = 10 * time.Second // for a client's TLS handshake
	headersTimeout = 30 * time.Second // for the headers of a request that has begun
	keepConnection = 10 * time.Minute // for a connection without a request; longer than load balancers in front keep one
	flushTimeout   = 5 * time.Minute  // for a client to read a complete answer
	// lastWrite is for the next write on a connection that is closed after an answer. What is not written by then is lost: Envoy's second was
	// too short for a reader that pauses, and for an Envoy on a busy machine. But a client hears so much later that an answer is cut off.
	lastWrite         = 3 * time.Second
	keepaliveIdle     = 60 // seconds until TCP probes a silent client
	keepaliveInterval = 10 // seconds between probes
	keepaliveProbes   = 3
)

const (
	hcmName    = "envoy.filters.network.http_connection_manager"
	routerName = "envoy.filters.http.router"
	tlsName    = "envoy.transport_sockets.tls"
)

func listener(cfg *config.Config, l config.Listener, decide *corev3.GrpcService) *listenerv3.Listener {
	chain := &listenerv3.FilterChain{Filters: []*listenerv3.Filter{{
		Name:       hcmName,
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(connectionManager(cfg, l, decide))},
	}}}
	if l.TLS != nil {
		chain.TransportSocketConnectTimeout = durationpb.New(shakeHands)
		withCertificate(chain, bySDS(l.Name))
	}
	return &listenerv3.Listener{
		Name:                          l.Name,
		Address:                       socketAddress(l.Address),
		FilterChains:                  []*listenerv3.FilterChain{chain},
		PerConnectionBufferLimitBytes: number(downstreamBuffer),
		// Notices a client that has vanished silently, even while its request waits.
		TcpKeepalive: &corev3.TcpKeepalive{
			KeepaliveTime:     number(keepaliveIdle),
			KeepaliveInterval: number(keepaliveInterval),
			KeepaliveProbes:   number(keepaliveProbes),
		},
	}
}

// socketAddress translates ip:port. A valid configuration has no other form.
func socketAddress(address string) *corev3.Address {
	ipPort, _ := netip.ParseAddrPort(address)
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       ipPort.Addr().String(),
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(ipPort.Port())},
	}}}
}

// connectionManager configures HTTP as clients see it: HTTP/1 and HTTP/2, WebSocket, with paths and headers passed on unchanged.
func connectionManager(cfg *config.Config, l config.Listener, decide *corev3.GrpcService) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix:     l.Name,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: adsSource(), RouteConfigName: l.Name}},
		HttpFilters:    append(keepPath(cfg), extProc(decide), router()),

		// Who the client is. No address is trusted as internal: the only internal one is an address that no client has,
		// because an empty list would mean all private networks.
		UseRemoteAddress:  yes(),
		XffNumTrustedHops: uint32(max(l.TrustedHops, 0)),
		InternalAddressConfig: &hcmv3.HttpConnectionManager_InternalAddressConfig{
			CidrRanges: []*corev3.CidrRange{{AddressPrefix: "255.255.255.255", PrefixLen: number(32)}},
		},
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{
			extension("envoy.http.early_header_mutation.header_mutation", withoutHearsay(l)),
		},

		// A request id is made if the client sent none, and never changed.
		GenerateRequestId:         yes(),
		PreserveExternalRequestId: true,
		RequestIdExtension: &hcmv3.RequestIDExtension{TypedConfig: pack(&uuidv3.UuidRequestIdConfig{
			PackTraceReason: wrapperspb.Bool(false),
			// Otherwise requests are never traced whose client chose an id that is not a UUID.
			UseRequestIdForTraceSampling: wrapperspb.Bool(false),
		})},

		// Everything is passed on unchanged. The Server header is that of the app. 100 Continue comes from the app, which
		// also keeps the body of a queued request with the client.
		ServerHeaderTransformation:   hcmv3.HttpConnectionManager_PASS_THROUGH,
		NormalizePath:                wrapperspb.Bool(false),
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
		Proxy_100Continue:            true,
		UpgradeConfigs:               []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: upgradeProtocol}},

		MaxRequestHeadersKb: headersKiB(l),
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout:     durationpb.New(keepConnection),
			MaxHeadersCount: number(maxHeadersCount),
		},
		HttpProtocolOptions: http1(),
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			AllowConnect:                            true,
			MaxConcurrentStreams:                    number(downstreamStreams),
			InitialStreamWindowSize:                 number(downstreamStreamWindow),
			InitialConnectionWindowSize:             number(downstreamConnectionWindow),
			OverrideStreamErrorOnInvalidHttpMessage: yes(),
		},

		// The stream of a queued request is idle for as long as the queue allows. The function's own timers begin after
		// that.
		StreamIdleTimeout:     durationpb.New(0),
		StreamFlushTimeout:    durationpb.New(flushTimeout),
		DelayedCloseTimeout:   durationpb.New(lastWrite),
		RequestHeadersTimeout: durationpb.New(headersTimeout),
		LocalReplyConfig:      localReplies(),
		AccessLog:             accessLog(cfg.AccessLog, l),
		Tracing:               tracing(cfg),
	}
}

func headersKiB(l config.Listener) *wrapperspb.UInt32Value {
	if l.MaxRequestHeaders <= 0 {
		return nil // Envoy's default, 60
	}
	return number(l.MaxRequestHeaders)
}

// router is the filter that sends the request upstream. It adds no headers of its own.
func router() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:       routerName,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&routerv3.Router{SuppressEnvoyHeaders: true})},
	}
}
