package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// An expression of a rule works on register 1. One that does not hold ends its rule.
func expression(name string, parts ...[]byte) []byte {
	return nest(unix.NFTA_LIST_ELEM, attribute(unix.NFTA_EXPR_NAME, text(name)), nest(unix.NFTA_EXPR_DATA, parts...))
}

func all(lists ...[][]byte) [][]byte { return slices.Concat(lists...) }

func protocol(number byte) [][]byte {
	return [][]byte{meta(unix.NFT_META_L4PROTO), compareOne(unix.NFT_CMP_EQ, []byte{number})}
}

func family(number byte) [][]byte {
	return [][]byte{meta(unix.NFT_META_NFPROTO), compareOne(unix.NFT_CMP_EQ, []byte{number})}
}

func meta(key uint32) []byte {
	return expression("meta", attribute(unix.NFTA_META_KEY, big32(key)), attribute(unix.NFTA_META_DREG, big32(unix.NFT_REG_1)))
}

func compare(op uint32, value []byte) [][]byte { return [][]byte{compareOne(op, value)} }

func compareOne(op uint32, value []byte) []byte {
	return expression("cmp", attribute(unix.NFTA_CMP_SREG, big32(unix.NFT_REG_1)), attribute(unix.NFTA_CMP_OP, big32(op)),
		nest(unix.NFTA_CMP_DATA, attribute(unix.NFTA_DATA_VALUE, value)))
}

// load takes bytes of a header.
func load(base, offset, size uint32) [][]byte {
	return [][]byte{expression("payload", attribute(unix.NFTA_PAYLOAD_DREG, big32(unix.NFT_REG_1)),
		attribute(unix.NFTA_PAYLOAD_BASE, big32(base)), attribute(unix.NFTA_PAYLOAD_OFFSET, big32(offset)),
		attribute(unix.NFTA_PAYLOAD_LEN, big32(size)))}
}

func mask(bits []byte) [][]byte {
	return [][]byte{expression("bitwise", attribute(unix.NFTA_BITWISE_SREG, big32(unix.NFT_REG_1)),
		attribute(unix.NFTA_BITWISE_DREG, big32(unix.NFT_REG_1)), attribute(unix.NFTA_BITWISE_LEN, big32(uint32(len(bits)))),
		nest(unix.NFTA_BITWISE_MASK, attribute(unix.NFTA_DATA_VALUE, bits)),
		nest(unix.NFTA_BITWISE_XOR, attribute(unix.NFTA_DATA_VALUE, make([]byte, len(bits)))))}
}

// destination4 holds for a network, or for one address without a mask.
func destination4(address, bits []byte) [][]byte {
	list := load(unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 4)
	if bits != nil {
		list = append(list, mask(bits)...)
	}
	return append(list, compareOne(unix.NFT_CMP_EQ, address))
}

func destination6(address []byte) [][]byte {
	return append(load(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16), compareOne(unix.NFT_CMP_EQ, address))
}

func destinationPort() [][]byte { return load(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2) }

func notIn(set string, id uint32) [][]byte {
	return [][]byte{expression("lookup", attribute(unix.NFTA_LOOKUP_SET, text(set)), attribute(unix.NFTA_LOOKUP_SREG, big32(unix.NFT_REG_1)),
		attribute(unix.NFTA_LOOKUP_SET_ID, big32(id)), attribute(unix.NFTA_LOOKUP_FLAGS, big32(unix.NFT_LOOKUP_F_INV)))}
}

// hasSocket holds for a packet that a socket inside waits for, whatever that is bound to.
func hasSocket() [][]byte {
	return [][]byte{expression("socket", attribute(socketKey, big32(socketWildcard)), attribute(socketRegister, big32(unix.NFT_REG_1)))}
}

// proxy hands the packet to the socket on the port of the loopback.
func proxy(family, port uint16) [][]byte {
	return [][]byte{
		expression("immediate", attribute(unix.NFTA_IMMEDIATE_DREG, big32(unix.NFT_REG_1)),
			nest(unix.NFTA_IMMEDIATE_DATA, attribute(unix.NFTA_DATA_VALUE, big16(port)))),
		expression("tproxy", attribute(proxyFamily, big32(uint32(family))), attribute(proxyRegister, big32(unix.NFT_REG_1))),
	}
}

func accept() [][]byte {
	return [][]byte{expression("immediate", attribute(unix.NFTA_IMMEDIATE_DREG, big32(unix.NFT_REG_VERDICT)),
		nest(unix.NFTA_IMMEDIATE_DATA, nest(unix.NFTA_DATA_VERDICT, attribute(unix.NFTA_VERDICT_CODE, big32(verdictAccept)))))}
}

const verdictAccept = 1 // NF_ACCEPT

func nest(kind uint16, parts ...[]byte) []byte { return attribute(unix.NLA_F_NESTED|kind, parts...) }

func text(s string) []byte { return append([]byte(s), 0) }
