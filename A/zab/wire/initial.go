package wire

import (
	"errors"
	"fmt"
	"strings"

	"quoll/ensemble"
	"quoll/jute"
)

// The versions of the [InitialMessage]; numbers from 0 on are the sid of a server of 3.4.
const (
	// InitialV1 is sent since 3.5.
	InitialV1 = -65536
	// InitialV2 is sent with multiAddress.enabled, to servers from 3.6 on.
	InitialV2 = -65535
)

// GenericObserver is the sid of observers that share one configuration; each gets a negative sid from whoever accepts it.
const GenericObserver = 1<<63 - 1

// maxInitialText is the most bytes that the addresses of an initial message may have (QuorumCnxManager.maxBuffer).
const maxInitialText = 2048

// ErrInitialMessage is the error for an initial message that Java refuses: the connection is to be closed.
var ErrInitialMessage = errors.New("wire: malformed initial message")

// InitialMessage is what the dialler of the election port sends first. Mirrors QuorumCnxManager.InitialMessage.
type InitialMessage struct {
	// Version is [InitialV1], [InitialV2], or 0 for the message of 3.4, which is the sid alone.
	Version int64
	// SID is the dialler's; [GenericObserver] is no sid.
	SID int64
	// Addrs are the dialler's own election addresses, one in version 1. Those that are wildcards are of no use to dial back (Addr.Wildcard).
	Addrs []ensemble.Addr
}

// Append appends the message to b. It must be written to the socket with a single write: Java takes what one read gives. The text of the
// addresses must have 1 to 2048 bytes, or Java closes the connection.
func (m *InitialMessage) Append(b []byte) []byte {
	if m.Version == 0 {
		return jute.AppendInt64(b, m.SID)
	}
	b = jute.AppendInt64(b, m.Version)
	b = jute.AppendInt64(b, m.SID)
	texts := make([]string, len(m.Addrs))
	for i, a := range m.Addrs {
		texts[i] = a.String()
	}
	return jute.AppendString(b, strings.Join(texts, "|"))
}

// Decode reads the message from d; whether that worked is in d.Err. Both versions are read in the same way, as in Java.
func (m *InitialMessage) Decode(d *jute.Decoder) {
	*m = InitialMessage{}
	first := d.Int64()
	if first >= 0 {
		m.SID = first
		return
	}
	if err := checkInitialVersion(first); err != nil {
		d.Fail(err)
	}
	m.Version, m.SID = first, d.Int64()
	text := d.Buffer()
	if err := checkInitialLength(len(text)); err != nil {
		d.Fail(err)
	}
	if d.Err() != nil {
		return
	}
	for part := range strings.SplitSeq(jute.JavaText(text), "|") {
		a, err := ensemble.ParseAddr(part)
		if err != nil {
			d.Fail(fmt.Errorf("%w: %w", ErrInitialMessage, err))
			return
		}
		m.Addrs = append(m.Addrs, a)
	}
}

func checkInitialVersion(v int64) error {
	if v != InitialV1 && v != InitialV2 {
		return fmt.Errorf("%w: unknown version %d", ErrInitialMessage, v)
	}
	return nil
}

func checkInitialLength(n int) error {
	if n < 1 || n > maxInitialText {
		return fmt.Errorf("%w: %d bytes of addresses", ErrInitialMessage, n)
	}
	return nil
}
