package sandbox

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The kernel's numbers that x/sys lacks, of linux/netfilter/nf_tables.h.
const (
	socketKey, socketRegister  = 1, 2 // NFTA_SOCKET_*
	socketWildcard             = 2    // NFT_SOCKET_WILDCARD
	proxyFamily, proxyRegister = 1, 3 // NFTA_TPROXY_*
	priorityMangle             = -150
	keyOfPorts                 = 13 // nft's name for it is inet_service
)

const (
	table, chain = "lambdalocal", "dialled"
	syn, synAck  = 0x02, 0x12
)

// Rules decide about what was dialled in a sandbox: it stays inside where somebody listens, or on a port of the loopback on
// which nobody listens on the machine either, and goes to the gateway's port otherwise.
type rules struct{ fd int }

// newRules puts the rules into the thread's network namespace.
func newRules(own netip.Addr, gatewayPort uint16) (*rules, error) {
	fd, err := netlink(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	batch := []message{
		nft(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, attribute(unix.NFTA_TABLE_NAME, text(table))),
		newSet(portsOf4, 1), newSet(portsOf6, 2),
		nft(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE,
			attribute(unix.NFTA_CHAIN_TABLE, text(table)), attribute(unix.NFTA_CHAIN_NAME, text(chain)),
			nest(unix.NFTA_CHAIN_HOOK, attribute(unix.NFTA_HOOK_HOOKNUM, big32(unix.NF_INET_PRE_ROUTING)),
				attribute(unix.NFTA_HOOK_PRIORITY, big32(priorityMangle&0xffffffff))),
			attribute(unix.NFTA_CHAIN_TYPE, text("filter"))),
	}
	for _, r := range decisions(own, gatewayPort) {
		batch = append(batch, newRule(r))
	}
	if err := commit(fd, batch...); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("packet rules: %w", err)
	}
	return &rules{fd: fd}, nil
}

// The sets of ports on the machine's loopback, by family.
const portsOf4, portsOf6 = "ports4", "ports6"

// decisions are the rules in order; the first whose conditions hold decides.
func decisions(own netip.Addr, gatewayPort uint16) [][][]byte {
	tcp, udp := protocol(unix.IPPROTO_TCP), protocol(unix.IPPROTO_UDP)
	own4, local4, local6 := all(family(unix.NFPROTO_IPV4), destination4(own.AsSlice(), nil)),
		all(family(unix.NFPROTO_IPV4), destination4([]byte{127, 0, 0, 0}, []byte{255, 0, 0, 0})),
		all(family(unix.NFPROTO_IPV6), destination6(netip.IPv6Loopback().AsSlice()))
	noPort4, noPort6 := all(destinationPort(), notIn(portsOf4, 1)), all(destinationPort(), notIn(portsOf6, 2))
	noDNS := all(destinationPort(), compare(unix.NFT_CMP_NEQ, big16(53)))
	return [][][]byte{
		all(tcp, load(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1), mask([]byte{synAck}), compare(unix.NFT_CMP_NEQ, []byte{syn}), accept()),
		all(hasSocket(), accept()),
		all(own4, accept()),
		all(tcp, local4, noPort4, accept()), all(tcp, local6, noPort6, accept()),
		all(udp, local4, noDNS, accept()), all(udp, local6, noDNS, accept()),
		all(family(unix.NFPROTO_IPV4), proxy(unix.NFPROTO_IPV4, gatewayPort), accept()),
		all(family(unix.NFPROTO_IPV6), proxy(unix.NFPROTO_IPV6, gatewayPort), accept()),
	}
}

// update adds ports to one of the sets and takes others out.
func (r *rules) update(set string, added, removed []uint16) error {
	var batch []message
	if len(added) > 0 {
		batch = append(batch, elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, set, added))
	}
	if len(removed) > 0 {
		batch = append(batch, elements(unix.NFT_MSG_DELSETELEM, 0, set, removed))
	}
	if len(batch) == 0 {
		return nil
	}
	return commit(r.fd, batch...)
}

func (r *rules) close() { _ = unix.Close(r.fd) }

// commit carries out all messages or none.
func commit(fd int, batch ...message) error {
	frame := []byte{unix.AF_UNSPEC, 0, 0, unix.NFNL_SUBSYS_NFTABLES}
	batch[len(batch)-1].flags |= unix.NLM_F_ACK
	all := append([]message{{kind: unix.NFNL_MSG_BATCH_BEGIN, payload: frame}}, batch...)
	last := len(all)
	all = append(all, message{kind: unix.NFNL_MSG_BATCH_END, payload: frame})
	return converseUntil(fd, uint32(last), all...)
}

func nft(kind, flags uint16, parts ...[]byte) message {
	payload := []byte{unix.NFPROTO_INET, 0, 0, 0}
	for _, part := range parts {
		payload = append(payload, part...)
	}
	return message{unix.NFNL_SUBSYS_NFTABLES<<8 | kind, flags, payload}
}

func newSet(name string, id uint32) message {
	return nft(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE,
		attribute(unix.NFTA_SET_TABLE, text(table)), attribute(unix.NFTA_SET_NAME, text(name)), attribute(unix.NFTA_SET_FLAGS, big32(0)),
		attribute(unix.NFTA_SET_KEY_TYPE, big32(keyOfPorts)), attribute(unix.NFTA_SET_KEY_LEN, big32(2)), attribute(unix.NFTA_SET_ID, big32(id)))
}

func elements(kind, flags uint16, set string, ports []uint16) message {
	var list [][]byte
	for _, port := range ports {
		list = append(list, nest(unix.NFTA_LIST_ELEM, nest(unix.NFTA_SET_ELEM_KEY, attribute(unix.NFTA_DATA_VALUE, big16(port)))))
	}
	return nft(kind, flags, attribute(unix.NFTA_SET_ELEM_LIST_TABLE, text(table)), attribute(unix.NFTA_SET_ELEM_LIST_SET, text(set)),
		nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list...))
}

func newRule(expressions [][]byte) message {
	return nft(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, attribute(unix.NFTA_RULE_TABLE, text(table)),
		attribute(unix.NFTA_RULE_CHAIN, text(chain)), nest(unix.NFTA_RULE_EXPRESSIONS, expressions...))
}
