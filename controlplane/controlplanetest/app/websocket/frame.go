package websocket

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"io"
)

type frame struct {
	final   bool
	opcode  Opcode
	payload []byte
}

// A protocolError is the other side's mistake, with the close code that says so.
type protocolError struct {
	code int
	what string
}

func (e *protocolError) Error() string { return "websocket protocol: " + e.what }

const (
	finalBit   = 0x80
	maskBit    = 0x80
	reserved   = 0x70
	maxControl = 125 // bytes of payload in a control frame
	length16   = 126 // the length follows in 16 bits
	length64   = 127 // the length follows in 64 bits
)

// readFrame refuses payloads above limit before it reads them. masked says what the other side must do.
func readFrame(r *bufio.Reader, limit int, masked bool) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{final: head[0]&finalBit != 0, opcode: Opcode(head[0] & 0xF)}
	length, err := readLength(r, head[1]&^maskBit)
	if err != nil {
		return frame{}, err
	}
	if err := f.check(head, length, limit, masked); err != nil {
		return frame{}, err
	}
	var mask [4]byte
	if masked {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return frame{}, err
		}
	}
	f.payload = make([]byte, length)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return frame{}, err
	}
	applyMask(f.payload, mask)
	return f, nil
}

func (f frame) check(head [2]byte, length uint64, limit int, masked bool) error {
	control := f.opcode >= closing
	switch {
	case head[0]&reserved != 0:
		return &protocolError{ProtocolFailure, "reserved bits are set"}
	case f.opcode > Binary && f.opcode < closing || f.opcode > pong:
		return &protocolError{ProtocolFailure, "unknown opcode"}
	case control && (!f.final || length > maxControl):
		return &protocolError{ProtocolFailure, "control frame is too long or in pieces"}
	case (head[1]&maskBit != 0) != masked:
		return &protocolError{ProtocolFailure, "wrong masking"}
	case length > uint64(limit) && !control:
		return &protocolError{TooBig, "message is too big"}
	}
	return nil
}

func readLength(r *bufio.Reader, short byte) (uint64, error) {
	var b [8]byte
	switch short {
	case length16:
		_, err := io.ReadFull(r, b[6:])
		return binary.BigEndian.Uint64(b[:]), err
	case length64:
		_, err := io.ReadFull(r, b[:])
		return binary.BigEndian.Uint64(b[:]), err
	default:
		return uint64(short), nil
	}
}

func appendFrame(b []byte, f frame, masked bool) []byte {
	first := byte(f.opcode)
	if f.final {
		first |= finalBit
	}
	var second byte
	if masked {
		second = maskBit
	}
	switch n := len(f.payload); {
	case n <= maxControl:
		b = append(b, first, second|byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, first, second|length16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, first, second|length64), uint64(n))
	}
	if !masked {
		return append(b, f.payload...)
	}
	var mask [4]byte
	_, _ = rand.Read(mask[:]) // never fails
	b = append(b, mask[:]...)
	start := len(b)
	b = append(b, f.payload...)
	applyMask(b[start:], mask)
	return b
}

func applyMask(p []byte, mask [4]byte) {
	for i := range p {
		p[i] ^= mask[i&3]
	}
}
