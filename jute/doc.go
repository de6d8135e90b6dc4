// Package jute is the wire and disk encoding of ZooKeeper: the records that clients, servers, transaction logs and snapshots
// exchange, the opcodes and the error codes.
//
// Every integer is big-endian. A string or buffer is an int32 length and its bytes, a vector an int32 count and its items; -1
// stands for null, which differs from empty and survives a round trip (null is a nil slice here). Records have no tag and no
// length of their own.
//
// Encoding appends:
//
//	b = jute.AppendReplyHeader(b, xid, zxid, jute.OK)
//	b = stat.Append(b)
//
// Decoding borrows: a [Decoder] keeps its first error, so a record is read field by field and checked once. Byte slices that it
// returns alias its input and are valid only as long as that is.
//
//	d := jute.NewDecoder(frame)
//	var req jute.SetDataRequest
//	req.Decode(&d)
//	if d.Err() != nil { ... }
//
// The regular records are generated from records.schema by the program in gen; what is irregular on the wire (ConnectRequest
// and ConnectResponse with their optional last byte, and the bodies of multi) is written by hand in connect.go and multi.go.
//
// It mirrors org.apache.jute.BinaryInputArchive, BinaryOutputArchive and the classes generated from zookeeper.jute.
package jute

//go:generate go run ./gen records.schema records_gen.go
