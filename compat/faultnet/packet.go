package faultnet

import "encoding/binary"

// packet is one of IPv4, from its header on.
type packet []byte

const (
	tcp       = 6
	tcpHeader = 20 // without options
	flagReset = 0x04
	flagAck   = 0x10
)

func (p packet) valid() bool { return len(p) >= 20 && p[0]>>4 == 4 }

// to is the number of the host that the packet goes to, if there is such a host.
func (p packet) to() int { return int(p[19]) }

// reset makes a packet of TCP one that resets its connection, in place. Its sequence number is the one that the receiver waits for, unless
// something before it was lost.
func (p packet) reset() packet {
	ip := int(p[0]&15) * 4
	if p[9] != tcp || len(p) < ip+tcpHeader {
		return p
	}
	p = p[:ip+tcpHeader]
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], checksum(0, p[:ip]))
	segment := p[ip:]
	segment[12] = tcpHeader / 4 << 4
	segment[13] = segment[13]&flagAck | flagReset
	segment[16], segment[17] = 0, 0
	// Addresses, protocol and length are in the sum as well.
	binary.BigEndian.PutUint16(segment[16:], checksum(checksum(tcp+tcpHeader, p[12:20])^0xffff, segment))
	return p
}

// checksum is that of the Internet (RFC 1071), of an even number of bytes.
func checksum(start uint16, b []byte) uint16 {
	sum := uint32(start)
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
