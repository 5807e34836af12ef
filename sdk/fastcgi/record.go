package fastcgi

import "encoding/binary"

// Sizes on the wire (section 3.3).
const (
	version    = 1
	headerLen  = 8
	maxContent = 65535
	// chunk is the largest content that needs no padding to be a multiple of 8.
	chunk = maxContent &^ 7
	// endLen is a whole END_REQUEST record.
	endLen = headerLen + 8
)

// recordType is the type of a record (section 8).
type recordType uint8

const (
	typeBeginRequest    recordType = 1
	typeAbortRequest    recordType = 2
	typeEndRequest      recordType = 3
	typeParams          recordType = 4
	typeStdin           recordType = 5
	typeStdout          recordType = 6
	typeStderr          recordType = 7
	typeData            recordType = 8
	typeGetValues       recordType = 9
	typeGetValuesResult recordType = 10
	typeUnknownType     recordType = 11
	// typeTrailers is not of the specification: it carries the trailers of an
	// HTTP message as name-value pairs, between TQServer's pool and a worker.
	typeTrailers recordType = 128
)

const flagKeepConn = 1

// Role is what a web server wants of an application (section 6).
type Role uint16

// The roles of the specification.
const (
	Responder  Role = 1
	Authorizer Role = 2
	Filter     Role = 3
)

// ProtocolStatus is how a request ended (section 5.5).
type ProtocolStatus uint8

// The ends of a request.
const (
	RequestComplete ProtocolStatus = 0
	CantMpxConn     ProtocolStatus = 1
	Overloaded      ProtocolStatus = 2
	UnknownRole     ProtocolStatus = 3
)

// String returns the specification's name.
func (s ProtocolStatus) String() string {
	switch s {
	case RequestComplete:
		return "FCGI_REQUEST_COMPLETE"
	case CantMpxConn:
		return "FCGI_CANT_MPX_CONN"
	case Overloaded:
		return "FCGI_OVERLOADED"
	case UnknownRole:
		return "FCGI_UNKNOWN_ROLE"
	}
	return "unknown protocol status"
}

// header is the head of a record.
type header struct {
	version uint8
	kind    recordType
	id      uint16
	length  int
	padding int
}

// parseHeader reads the first eight bytes of b. The reserved byte is ignored.
func parseHeader(b []byte) header {
	_ = b[headerLen-1]
	return header{
		version: b[0],
		kind:    recordType(b[1]),
		id:      binary.BigEndian.Uint16(b[2:]),
		length:  int(binary.BigEndian.Uint16(b[4:])),
		padding: int(b[6]),
	}
}

// putHeader writes the head of a record with length bytes of content. A longer
// content would be cut to 16 bits and its tail be taken for records (CVE-less
// HAProxy bug 0aeae2305), so that is impossible rather than an error.
func putHeader(b []byte, kind recordType, id uint16, length, padding int) {
	if uint(length) > maxContent || uint(padding) > 255 {
		panic("fastcgi: record does not fit its length field")
	}
	_ = b[headerLen-1]
	b[0], b[1], b[2], b[3] = version, byte(kind), byte(id>>8), byte(id)
	b[4], b[5], b[6], b[7] = byte(length>>8), byte(length), byte(padding), 0
}

// pad returns how many bytes make length a multiple of 8.
func pad(length int) int { return -length & 7 }

func appendHeader(b []byte, kind recordType, id uint16, length, padding int) []byte {
	n := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	putHeader(b[n:], kind, id, length, padding)
	return b
}

func appendPadding(b []byte, n int) []byte {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00"
	return append(b, zeros[:n]...)
}

// appendRecord appends a whole record, padded to a multiple of 8.
func appendRecord(b []byte, kind recordType, id uint16, content []byte) []byte {
	b = appendHeader(b, kind, id, len(content), pad(len(content)))
	b = append(b, content...)
	return appendPadding(b, pad(len(content)))
}

func appendBegin(b []byte, id uint16, role Role, keepConn bool) []byte {
	b = appendHeader(b, typeBeginRequest, id, 8, 0)
	flags := byte(0)
	if keepConn {
		flags = flagKeepConn
	}
	return append(b, byte(role>>8), byte(role), flags, 0, 0, 0, 0, 0)
}

func appendEnd(b []byte, id uint16, appStatus uint32, status ProtocolStatus) []byte {
	b = appendHeader(b, typeEndRequest, id, 8, 0)
	b = binary.BigEndian.AppendUint32(b, appStatus)
	return append(b, byte(status), 0, 0, 0)
}
