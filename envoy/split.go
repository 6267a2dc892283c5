package envoy

import (
	"bytes"
	_ "embed"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"text/template"
)

// A Split is an Envoy whose control planes are on other hosts. The relay is beside it.
type Split struct {
	Node          string   // its name; default lambda-dispatch
	StateDir      string   // of the relay; default DefaultStateDir
	AdminAddress  string   // host:port, port 0 for any free one; default DefaultAdminAddress
	ControlPlanes []string // host:port of each
	SDS           string   // absolute path of the folder with the files of SecretFiles; empty: no TLS
}

//go:embed split.yaml.tmpl
var splitText string

var splitTemplate = template.Must(template.New("split").Funcs(template.FuncMap{"quote": strconv.Quote}).Parse(splitText))

type hostPort struct{ Host, Port string }

func parseHostPort(address string) (hostPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return hostPort{}, fmt.Errorf("envoy: address %q: %w", address, err)
	}
	return hostPort{host, port}, nil
}

// Bootstrap returns the bootstrap of such an Envoy.
func (s Split) Bootstrap() ([]byte, error) {
	if s.Node == "" {
		s.Node = "lambda-dispatch"
	}
	if s.StateDir == "" {
		s.StateDir = DefaultStateDir
	}
	if s.AdminAddress == "" {
		s.AdminAddress = DefaultAdminAddress
	}
	admin, err := parseHostPort(s.AdminAddress)
	if err != nil {
		return nil, err
	}
	var planes []hostPort
	for _, address := range s.ControlPlanes {
		one, err := parseHostPort(address)
		if err != nil {
			return nil, err
		}
		planes = append(planes, one)
	}
	var out bytes.Buffer
	err = splitTemplate.Execute(&out, map[string]any{
		"Node": s.Node, "StateDir": filepath.Clean(s.StateDir), "AdminHost": admin.Host, "AdminPort": admin.Port,
		"ControlPlanes": planes, "SDS": s.SDS,
	})
	return out.Bytes(), err
}

// IdentityFile is Envoy's certificate with its key, in one PEM: of two files Envoy would read one before the other. CAFile is what
// vouches for control planes.
const (
	IdentityFile = "envoy.pem"
	CAFile       = "ca.pem"
)

// SecretFiles returns the files, by name, that tell an Envoy of its certificate and of its control planes, whose names begin
// with prefix. They lie in the folder Split.SDS, with IdentityFile and CAFile.
func SecretFiles(folder, prefix string) map[string][]byte {
	const form = `resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: %s
`
	path := func(name string) string { return strconv.Quote(filepath.Join(folder, name)) }
	return map[string][]byte{
		"identity.yaml": fmt.Appendf(nil, form+`  tls_certificate:
    certificate_chain: {filename: %[2]s}
    private_key: {filename: %[2]s}
    watched_directory: {path: %[3]q}
`, "identity", path(IdentityFile), folder),
		"control.yaml": fmt.Appendf(nil, form+`  validation_context:
    trusted_ca: {filename: %[2]s}
    watched_directory: {path: %[3]q}
    match_typed_subject_alt_names:
    - {san_type: URI, matcher: {prefix: %[4]q}}
`, "control", path(CAFile), folder, prefix),
	}
}
