package sandbox

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	headerSize   = 16
	netlinkLimit = 5 // seconds that the kernel may take for an answer
)

// A message is a netlink message: its type and flags, and what follows the header.
type message struct {
	kind    uint16
	flags   uint16
	payload []byte
}

// converse sends the messages at once and returns the first error that the kernel has with them. The last must ask for an
// acknowledgement (NLM_F_ACK).
func converse(fd int, messages ...message) error {
	return converseUntil(fd, uint32(len(messages)), messages...)
}

// converseUntil is converse where another message than the last, counted from 1, is acknowledged.
func converseUntil(fd int, number uint32, messages ...message) error {
	var out []byte
	for i, m := range messages {
		out = append(out, m.encode(uint32(i+1))...)
	}
	if err := unix.Sendto(fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	return await(fd, number)
}

func (m message) encode(number uint32) []byte {
	out := make([]byte, headerSize, headerSize+len(m.payload)+3)
	binary.NativeEndian.PutUint32(out, uint32(headerSize+len(m.payload)))
	binary.NativeEndian.PutUint16(out[4:], m.kind)
	binary.NativeEndian.PutUint16(out[6:], m.flags|unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(out[8:], number)
	return pad(append(out, m.payload...))
}

// await reads until the message with the number is acknowledged. A batch that failed has errors for some of its messages.
func await(fd int, number uint32) error {
	var first error
	done := func(m received) bool {
		if m.kind != unix.NLMSG_ERROR || len(m.payload) < 4 {
			return false
		}
		if code := int32(binary.NativeEndian.Uint32(m.payload)); code != 0 && first == nil {
			first = fmt.Errorf("netlink: %w", unix.Errno(-code))
		}
		return m.number == number
	}
	if err := receive(fd, done); err != nil && first == nil {
		return err
	}
	return first
}

// A received is a message from the kernel.
type received struct {
	kind    uint16
	number  uint32
	payload []byte
}

// receive hands what arrives to take, until that is true.
func receive(fd int, take func(received) bool) error {
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		for rest := buffer[:n]; len(rest) >= headerSize; {
			size := int(binary.NativeEndian.Uint32(rest))
			if size < headerSize || size > len(rest) {
				return fmt.Errorf("netlink: a message of %d bytes in %d", size, len(rest))
			}
			m := received{binary.NativeEndian.Uint16(rest[4:]), binary.NativeEndian.Uint32(rest[8:]), rest[headerSize:size]}
			if take(m) {
				return nil
			}
			rest = rest[min(len(rest), (size+3)&^3):]
		}
	}
}

// netlink opens a socket to the kernel, in the network namespace of the thread.
func netlink(protocol int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, fmt.Errorf("netlink: %w", err)
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: netlinkLimit})
	return fd, nil
}

// attribute is one attribute: its kind, and its value in one or several parts.
func attribute(kind uint16, parts ...[]byte) []byte {
	out := make([]byte, 4)
	for _, part := range parts {
		out = append(out, part...)
	}
	binary.NativeEndian.PutUint16(out, uint16(len(out)))
	binary.NativeEndian.PutUint16(out[2:], kind)
	return pad(out)
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func big16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

func big32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
