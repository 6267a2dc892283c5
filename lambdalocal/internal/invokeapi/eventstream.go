package invokeapi

import (
	"encoding/binary"
	"hash/crc32"
)

// Sizes of vnd.amazon.eventstream: a message is a prelude (its length, that of its headers, and their checksum), headers,
// the payload, and the checksum of all before.
const (
	preludeSize  = 12
	checksumSize = 4
	typeString   = 7 // of a header's value
)

// encodeEvent returns a message of type event.
func encodeEvent(event, contentType string, payload []byte) []byte {
	var headers []byte
	for _, h := range [][2]string{{":message-type", "event"}, {":event-type", event}, {":content-type", contentType}} {
		headers = append(headers, byte(len(h[0])))
		headers = append(headers, h[0]...)
		headers = append(headers, typeString)
		headers = binary.BigEndian.AppendUint16(headers, uint16(len(h[1])))
		headers = append(headers, h[1]...)
	}
	size := preludeSize + len(headers) + len(payload) + checksumSize
	message := make([]byte, 0, size)
	message = binary.BigEndian.AppendUint32(message, uint32(size))
	message = binary.BigEndian.AppendUint32(message, uint32(len(headers)))
	message = binary.BigEndian.AppendUint32(message, crc32.ChecksumIEEE(message))
	message = append(append(message, headers...), payload...)
	return binary.BigEndian.AppendUint32(message, crc32.ChecksumIEEE(message))
}
