package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
)

// SetCertificate sets the certificate of a listener with TLS. Envoy gets it with its key. It may be called before Run. Envoy does
// not open such a listener before it was called. A later certificate replaces the first, without closing connections.
func (s *Server) SetCertificate(listener string, pair keypair.Pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.certificates[listener] = secret(listener, pair)
	if err := s.caches[resourcev3.SecretType].UpdateResource(listener, s.certificates[listener]); err != nil {
		s.log.WithError(err).WithField("listener", listener).Error("certificate not published")
	}
}

// updateSecrets publishes the certificates of the state's listeners. whole also removes those of others. A certificate that was
// set for a listener of a later state is kept.
func (s *Server) updateSecrets(whole bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := map[string]types.Resource{}
	for _, name := range s.state.secrets {
		if certificate := s.certificates[name]; certificate != nil {
			now[name] = certificate
		}
	}
	return s.update(resourcev3.SecretType, now, whole)
}

func secret(listener string, pair keypair.Pair) *tlsv3.Secret {
	inline := func(pem []byte) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: pem}}
	}
	return &tlsv3.Secret{Name: listener, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(pair.Chain), PrivateKey: inline(pair.Key),
	}}}
}

// withCertificate makes a listener use TLS. By SDS a certificate is separate, so that another one does not change the listener.
func withCertificate(chain *listenerv3.FilterChain, certificate func(*tlsv3.CommonTlsContext)) {
	common := &tlsv3.CommonTlsContext{
		AlpnProtocols: []string{"h2", "http/1.1"},
		TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
	}
	certificate(common)
	chain.TransportSocket = &corev3.TransportSocket{
		Name: tlsName,
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(&tlsv3.DownstreamTlsContext{
			CommonTlsContext: common,
		})},
	}
}

// bySDS makes Envoy fetch the listener's certificate from the control plane.
func bySDS(listener string) func(*tlsv3.CommonTlsContext) {
	return func(c *tlsv3.CommonTlsContext) {
		c.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{{Name: listener, SdsConfig: adsSource()}}
	}
}

// byFile makes Envoy read the files, for StaticConfig.
func byFile(t *config.ListenerTLS) func(*tlsv3.CommonTlsContext) {
	file := func(path string) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
	}
	return func(c *tlsv3.CommonTlsContext) {
		c.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: file(t.CertificateFile), PrivateKey: file(t.KeyFile)}}
	}
}

// secrets names the certificates of a full state.
func secrets(cfg *config.Config) []string {
	var names []string
	for _, l := range cfg.Listeners {
		if l.TLS != nil {
			names = append(names, l.Name)
		}
	}
	return names
}
