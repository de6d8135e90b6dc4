package wire

import (
	"errors"
	"fmt"

	"quoll/jute"
)

// authMagic is the first field of every [AuthPacket] (QuorumAuth.QUORUM_AUTH_MAGIC_NUMBER).
const authMagic = 0x5f2435013501edcc

// AuthStatus says how far a SASL exchange is (QuorumAuth.Status).
type AuthStatus int32

// The states of a SASL exchange.
const (
	AuthInProgress AuthStatus = 0
	AuthSuccess    AuthStatus = 1
	AuthError      AuthStatus = -1
)

// MaxToken is how many bytes a token may have, where Java takes as many as a packet: a ticket of Kerberos with as many groups as Windows allows has fewer. Who has not said who it is has
// nothing longer to say, so it is the limit of a [Reader] until then.
const MaxToken = 64 << 10

// ErrAuthMagic is the error for what does not begin like an [AuthPacket]: the peer does not use SASL.
var ErrAuthMagic = errors.New("wire: not an authentication packet")

// AuthPacket is one step of a SASL exchange (QuorumAuthPacket), on either port before everything else that could be taken for a packet or a frame.
type AuthPacket struct {
	Status AuthStatus
	// Token is the mechanism's; nil is null. It aliases the input.
	Token []byte
}

// Append appends the packet to b: 16 bytes and the token.
func (p *AuthPacket) Append(b []byte) []byte {
	b = jute.AppendInt64(b, authMagic)
	b = jute.AppendInt32(b, int32(p.Status))
	return jute.AppendBuffer(b, p.Token)
}

// Decode reads the packet from d; whether that worked is in d.Err.
func (p *AuthPacket) Decode(d *jute.Decoder) {
	*p = AuthPacket{}
	if err := checkAuthMagic(d.Int64()); err != nil {
		d.Fail(err)
	}
	p.Status = AuthStatus(d.Int32())
	p.Token = d.Buffer()
}

func checkAuthMagic(v int64) error {
	if v != authMagic {
		return fmt.Errorf("%w: magic number %#x", ErrAuthMagic, uint64(v))
	}
	return nil
}
