package sandbox

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// loopback is the only interface of a sandbox: always the first.
const loopback = 1

// configureInterface brings the loopback up, with the sandbox's address on it. Every address of the world is then one of the
// loopback's: what is dialled comes back in, where the rules decide about it. IPv6 leads out only where the machine's does.
func configureInterface(own netip.Addr, outIPv6 bool) error {
	fd, err := netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	steps := []struct {
		what string
		message
	}{{"loopback", linkUp()}, {"address", addAddress(own)}, {"route", addRoute(unix.AF_INET, own.AsSlice())}}
	if outIPv6 {
		steps = append(steps, struct {
			what string
			message
		}{"IPv6 route", addRoute(unix.AF_INET6, nil)})
	}
	for _, step := range steps {
		if err := converse(fd, step.message); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

const create = unix.NLM_F_ACK | unix.NLM_F_CREATE | unix.NLM_F_EXCL

func linkUp() message {
	info := append([]byte{unix.AF_UNSPEC, 0, 0, 0}, native32(loopback)...)
	info = append(append(info, native32(unix.IFF_UP)...), native32(unix.IFF_UP)...)
	return message{unix.RTM_NEWLINK, unix.NLM_F_ACK, info}
}

func addAddress(a netip.Addr) message {
	payload := append([]byte{unix.AF_INET, 32, 0, unix.RT_SCOPE_UNIVERSE}, native32(loopback)...)
	payload = append(payload, attribute(unix.IFA_LOCAL, a.AsSlice())...)
	return message{unix.RTM_NEWADDR, create, append(payload, attribute(unix.IFA_ADDRESS, a.AsSlice())...)}
}

// addRoute leads all addresses of a family to the loopback, from the source address if there is one.
func addRoute(family byte, source []byte) message {
	payload := []byte{family, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL, 0, 0, 0, 0}
	payload = append(payload, attribute(unix.RTA_OIF, native32(loopback))...)
	if source != nil {
		payload = append(payload, attribute(unix.RTA_PREFSRC, source)...)
	}
	return message{unix.RTM_NEWROUTE, create, payload}
}
