package store

import (
	"encoding/binary"
	"fmt"
	"strings"

	"quoll/jute"
)

// The kinds of records; nodes are the last, so that all others fit into one table before them.
const (
	kindState byte = 1 + iota
	kindSession
	kindACL
	kindNode
	kindEnd
)

// State says what a store holds: everything up to Zxid, and nothing later.
type State struct {
	Zxid      int64
	Digest    int64  // of the tree at Zxid
	Znodes    int64  // the root is one
	RecordSum uint32 // Adler-32 of the log record of Zxid; 0 if the state came from a snapshot and no log
}

func (st *State) append(b []byte) []byte {
	b = jute.AppendInt64(b, st.Zxid)
	b = jute.AppendInt64(b, st.Digest)
	b = jute.AppendInt64(b, st.Znodes)
	return jute.AppendInt32(b, int32(st.RecordSum))
}

func decodeState(v []byte) (st State, err error) {
	d := jute.NewDecoder(v)
	st.Zxid = d.Int64()
	st.Digest = d.Int64()
	st.Znodes = d.Int64()
	st.RecordSum = uint32(d.Int32())
	return st, finish(&d)
}

// finish returns the decoder's error, or one if bytes are left.
func finish(d *jute.Decoder) error {
	if d.Err() == nil && d.Len() > 0 {
		return fmt.Errorf("%d bytes too many", d.Len())
	}
	return d.Err()
}

func numberKey(kind byte, n int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(n))
}

// number returns the number of a session's or ACL list's key.
func number(key []byte) (int64, error) {
	if len(key) != 9 {
		return 0, fmt.Errorf("key of %d bytes", len(key))
	}
	return int64(binary.BigEndian.Uint64(key[1:])), nil
}

func decodeSession(v []byte) (timeout int32, err error) {
	d := jute.NewDecoder(v)
	timeout = d.Int32()
	return timeout, finish(&d)
}

func appendACL(b []byte, acl []jute.ACL) []byte {
	b = jute.AppendInt32(b, int32(len(acl)))
	for i := range acl {
		b = acl[i].Append(b)
	}
	return b
}

func decodeACL(v []byte) ([]jute.ACL, error) {
	d := jute.NewDecoder(v)
	n := d.Count()
	if n < 0 || n > len(v)/12 {
		return nil, fmt.Errorf("%d entries in %d bytes", n, len(v))
	}
	acl := make([]jute.ACL, n)
	for i := range acl {
		acl[i].Decode(&d)
	}
	return acl, finish(&d)
}

// checkPath refuses what could not be read back: a znode's path is empty or begins with a slash, and has no zero byte.
func checkPath(path string) error {
	if path != "" && path[0] != '/' || strings.IndexByte(path, 0) >= 0 {
		return fmt.Errorf("store: path %q", path)
	}
	return nil
}

func appendNodeKey(b []byte, path string) []byte {
	b = append(b, kindNode)
	at := len(b)
	b = append(b, path...)
	for p := b[at:]; ; {
		i := strings.IndexByte(path, '/')
		if i < 0 {
			return b
		}
		p[i] = 0
		p, path = p[i+1:], path[i+1:]
	}
}

// appendPath appends the path of a node's key.
func appendPath(b, key []byte) ([]byte, error) {
	key = key[1:]
	if len(key) > 0 && key[0] != 0 {
		return b, fmt.Errorf("path without a slash")
	}
	at := len(b)
	b = append(b, key...)
	for i := at; i < len(b); i++ {
		if b[i] == 0 {
			b[i] = '/'
		}
	}
	return b, nil
}

func appendNode(b, data []byte, acl int64, stat *jute.StatPersisted) []byte {
	b = jute.AppendBuffer(b, data)
	b = jute.AppendInt64(b, acl)
	return stat.Append(b)
}

// decodeNode returns the parts of a node's value; data aliases it.
func decodeNode(v []byte, stat *jute.StatPersisted) (data []byte, acl int64, err error) {
	d := jute.NewDecoder(v)
	data = d.Buffer()
	acl = d.Int64()
	stat.Decode(&d)
	return data, acl, finish(&d)
}
