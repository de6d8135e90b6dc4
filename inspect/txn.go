package inspect

import (
	"bytes"
	"fmt"
	"strconv"

	"quoll/jute"
	"quoll/tree"
)

// appendTxn appends the line that Java's TxnLogToolkit prints for a log entry. It may consist of several lines, because an ACL entry ends in
// a newline there.
func (o Options) appendTxn(b, entry []byte) ([]byte, error) {
	d := jute.NewDecoder(entry)
	var h jute.TxnHeader
	if h.Decode(&d); d.Err() != nil {
		return b, d.Err()
	}
	b = o.at(h.Time).AppendFormat(b, dateShortLong)
	b = fmt.Appendf(b, " session 0x%x cxid 0x%x zxid 0x%x %s ", uint64(h.ClientID), uint32(h.Cxid), uint64(h.Zxid), jute.Op(h.Type))
	start := len(b)
	body := d
	b, err := appendBody(b, jute.Op(h.Type), &d)
	if err == nil {
		err = d.Err()
	}
	if err != nil && jute.Op(h.Type) == jute.OpCreate { // of before version 3.4, without parentCVersion
		b = append(appendCreate(b[:start], &body), ",-1"...)
		err = body.Err()
	}
	if err != nil {
		return b, fmt.Errorf("type %d (%s): %w", h.Type, jute.Op(h.Type), err)
	}
	if b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	return b, nil
}

func appendBody(b []byte, op jute.Op, d *jute.Decoder) ([]byte, error) {
	switch op {
	case jute.OpCreate, jute.OpCreate2:
		b = appendCreate(b, d)
		b = fmt.Appendf(b, ",%d", d.Int32())
	case jute.OpCreateContainer:
		b = appendNew(b, d)
		b = fmt.Appendf(b, ",%d", d.Int32())
	case jute.OpCreateTTL:
		b = appendNew(b, d)
		b = fmt.Appendf(b, ",%d", d.Int32())
		b = fmt.Appendf(b, ",%d", d.Int64())
	case jute.OpSetData, jute.OpReconfig:
		b = appendPath(b, d)
		b = append(b, jute.JavaText(d.Buffer())...)
		b = fmt.Appendf(b, ",%d", d.Int32())
	case jute.OpDelete, jute.OpDeleteContainer:
		b = append(appendEscaped(b, d.Text()), '\n')
	case jute.OpSetACL:
		b = append(appendEscaped(b, d.Text()), ",v{"...)
		for i, n := 0, d.Count(); i < n && d.Err() == nil; i++ {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendACL(append(b, "s{"...), d), '}')
		}
		b = fmt.Appendf(b, "},%d\n", d.Int32())
	case jute.OpCreateSession, jute.OpError:
		b = fmt.Appendf(b, "%d\n", d.Int32())
	case jute.OpCloseSession:
		if d.Len() == 0 || bareDigest(d.Rest()) {
			return b, nil
		}
		b = append(b, "v{"...)
		for i, n := 0, d.Count(); i < n && d.Err() == nil; i++ {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendEscaped(b, d.Text())
		}
		b = append(b, "}\n"...)
	case jute.OpMulti:
		for i, n := 0, d.Count(); i < n && d.Err() == nil; i++ {
			if i > 0 {
				b = append(b, ';')
			}
			b = fmt.Appendf(b, "%s:", jute.Op(d.Int32()))
			b = append(b, jute.JavaText(d.Buffer())...)
		}
	default:
		//lint:ignore ST1005 the words of ZooKeeper's tool
		return b, fmt.Errorf("Unsupported Txn with type=%d", op)
	}
	return b, nil
}

// bareDigest reports whether a closeSession has no body but a digest, as servers with zookeeper.closeSessionTxn.enabled=false write it.
func bareDigest(p []byte) bool {
	return len(p) == 12 && bytes.Equal(p[:4], []byte{0, 0, 0, tree.DigestVersion})
}

// appendCreate appends all fields of a create but its parentCVersion.
func appendCreate(b []byte, d *jute.Decoder) []byte {
	b = appendNew(b, d)
	return strconv.AppendBool(append(b, ','), d.Bool())
}

// appendNew appends the fields that all kinds of create begin with: path, data and ACL.
func appendNew(b []byte, d *jute.Decoder) []byte {
	b = appendPath(b, d)
	b = append(b, jute.JavaText(d.Buffer())...)
	n := d.Count()
	if n < 0 {
		return append(b, ",null"...)
	}
	b = append(b, ",["...)
	for i := 0; i < n && d.Err() == nil; i++ {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(appendACL(b, d), '\n')
	}
	return append(b, ']')
}

func appendPath(b []byte, d *jute.Decoder) []byte {
	path := d.Text()
	if path == nil {
		return append(b, "null,"...)
	}
	return append(append(b, jute.JavaText(path)...), ',')
}

func appendACL(b []byte, d *jute.Decoder) []byte {
	b = fmt.Appendf(b, "%d,s{", d.Int32())
	b = append(appendEscaped(b, d.Text()), ',')
	return append(appendEscaped(b, d.Text()), '}')
}

// appendEscaped appends a string as ToStringOutputArchive does.
func appendEscaped(b, text []byte) []byte {
	if text == nil {
		return b
	}
	b = append(b, '\'')
	for _, c := range []byte(jute.JavaText(text)) {
		switch c {
		case 0, '\n', '\r', ',', '}', '%':
			b = fmt.Appendf(b, "%%%02X", c)
		default:
			b = append(b, c)
		}
	}
	return b
}
