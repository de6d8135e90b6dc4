package tree

import (
	"fmt"

	"quoll/jute"
)

// DigestVersion is the version of the tree digest that this package computes.
const DigestVersion = 2

// Txn is one transaction: its header and the fields of its body, of which Type says which count. A part of a multi is a Txn whose
// header has only the Type.
type Txn struct {
	jute.TxnHeader
	Path           string
	Data           []byte
	ACL            []jute.ACL
	Paths          []string // closeSession: the ephemerals that it deletes; nil if the record had no body
	Multi          []Txn
	TTL            int64 // milliseconds
	Digest         int64 // of the whole tree after this transaction
	ParentCVersion int32 // stored cversion of the parent after a create; -1 if the record has none
	Version        int32 // new version of data or ACL
	Timeout        int32 // createSession, milliseconds
	Err            jute.Code
	Ephemeral      bool
	HasDigest      bool
}

// Op is the header's type as an opcode.
func (t *Txn) Op() jute.Op { return jute.Op(t.Type) }

// Append appends the transaction as a log entry or proposal has it: header, body and, where it has one, the digest.
func (t *Txn) Append(b []byte) []byte {
	b = t.TxnHeader.Append(b)
	b = t.appendBody(b)
	if t.HasDigest && t.Op() != jute.OpError {
		b = (&jute.TxnDigest{Version: DigestVersion, TreeDigest: t.Digest}).Append(b)
	}
	return b
}

func (t *Txn) appendBody(b []byte) []byte {
	switch t.Op() {
	case jute.OpCreate, jute.OpCreate2:
		return (&jute.CreateTxn{Path: t.Path, Data: t.Data, ACL: t.ACL, Ephemeral: t.Ephemeral, ParentCVersion: t.ParentCVersion}).Append(b)
	case jute.OpCreateTTL:
		return (&jute.CreateTTLTxn{Path: t.Path, Data: t.Data, ACL: t.ACL, ParentCVersion: t.ParentCVersion, TTL: t.TTL}).Append(b)
	case jute.OpCreateContainer:
		return (&jute.CreateContainerTxn{Path: t.Path, Data: t.Data, ACL: t.ACL, ParentCVersion: t.ParentCVersion}).Append(b)
	case jute.OpDelete, jute.OpDeleteContainer:
		return jute.AppendString(b, t.Path)
	case jute.OpSetData, jute.OpReconfig:
		return (&jute.SetDataTxn{Path: t.Path, Data: t.Data, Version: t.Version}).Append(b)
	case jute.OpCheck:
		return (&jute.CheckVersionTxn{Path: t.Path, Version: t.Version}).Append(b)
	case jute.OpSetACL:
		return (&jute.SetACLTxn{Path: t.Path, ACL: t.ACL, Version: t.Version}).Append(b)
	case jute.OpCreateSession:
		return jute.AppendInt32(b, t.Timeout)
	case jute.OpCloseSession:
		if t.Paths == nil {
			return b
		}
		return jute.AppendStrings(b, t.Paths)
	case jute.OpError:
		return jute.AppendInt32(b, int32(t.Err))
	case jute.OpMulti:
		b = jute.AppendInt32(b, int32(len(t.Multi)))
		for i := range t.Multi {
			sub := &t.Multi[i]
			b = jute.AppendInt32(b, sub.Type)
			at := len(b)
			b = jute.AppendInt32(b, 0)
			b = sub.appendBody(b)
			copy(b[at:], jute.AppendInt32(nil, int32(len(b)-at-4)))
		}
		return b
	}
	panic(fmt.Sprintf("tree: a transaction of type %d cannot be written (zxid 0x%x)", t.Type, t.Zxid))
}

// DecodeTxn reads a log entry or the data of a proposal. What it returns aliases entry. Its errors are what makes Java refuse to load
// a log: a type that no log can have, or a body that ends too early.
func DecodeTxn(entry []byte) (Txn, error) {
	var t Txn
	d := jute.NewDecoder(entry)
	t.TxnHeader.Decode(&d)
	if t.Op() == jute.OpCheck {
		return t, fmt.Errorf("transaction 0x%x: type %d (%s) outside a multi", t.Zxid, t.Type, t.Op())
	}
	body := d
	err := t.decodeBody(&d)
	if err != nil && t.Op() == jute.OpCreate {
		// Records of before version 3.4 have no parentCVersion.
		d, t.ParentCVersion = body, -1
		t.decodeCreateV0(&d)
		err = d.Err()
	}
	if err != nil {
		return t, fmt.Errorf("transaction 0x%x of type %d (%s): %w", t.Zxid, t.Type, t.Op(), err)
	}
	if err := t.checkPaths(); err != nil {
		return t, fmt.Errorf("transaction 0x%x of type %d (%s): %w", t.Zxid, t.Type, t.Op(), err)
	}
	if t.Op() != jute.OpError && d.Len() >= 12 {
		var digest jute.TxnDigest
		digest.Decode(&d)
		t.Digest, t.HasDigest = digest.TreeDigest, digest.Version == DigestVersion
	}
	return t, nil
}

// checkPaths refuses a create whose path has no parent and name, which no server writes and no tree can hold.
func (t *Txn) checkPaths() error {
	switch t.Op() {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		if len(t.Path) < 2 || t.Path[0] != '/' {
			return fmt.Errorf("%q is no path of a znode", t.Path)
		}
	}
	for i := range t.Multi {
		if err := t.Multi[i].checkPaths(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Txn) decodeCreateV0(d *jute.Decoder) {
	t.Path, t.Data = d.String(), d.Buffer()
	t.ACL = decodeACL(d)
	t.Ephemeral = d.Bool()
}

func (t *Txn) decodeBody(d *jute.Decoder) error {
	switch t.Op() {
	case jute.OpCreate, jute.OpCreate2:
		t.decodeCreateV0(d)
		t.ParentCVersion = d.Int32()
	case jute.OpCreateTTL, jute.OpCreateContainer:
		t.Path, t.Data = d.String(), d.Buffer()
		t.ACL = decodeACL(d)
		t.ParentCVersion = d.Int32()
		if t.Op() == jute.OpCreateTTL {
			t.TTL = d.Int64()
		}
	case jute.OpDelete, jute.OpDeleteContainer:
		t.Path = d.String()
	case jute.OpSetData, jute.OpReconfig:
		t.Path, t.Data, t.Version = d.String(), d.Buffer(), d.Int32()
	case jute.OpCheck:
		t.Path, t.Version = d.String(), d.Int32()
	case jute.OpSetACL:
		t.Path = d.String()
		t.ACL = decodeACL(d)
		t.Version = d.Int32()
	case jute.OpCreateSession:
		t.Timeout = d.Int32()
	case jute.OpCloseSession:
		t.decodeCloseSession(d)
	case jute.OpError:
		t.Err = jute.Code(d.Int32())
	case jute.OpMulti:
		for n := d.Count(); n > 0 && d.Err() == nil; n-- {
			sub := Txn{TxnHeader: jute.TxnHeader{Type: d.Int32()}}
			body := jute.NewDecoder(d.Buffer())
			if d.Err() != nil {
				break
			}
			switch sub.Op() {
			case jute.OpMulti, jute.OpCreateSession, jute.OpCloseSession, jute.OpReconfig, jute.OpSetACL:
				return fmt.Errorf("type %d (%s) inside a multi", sub.Type, sub.Op())
			}
			if err := sub.decodeBody(&body); err != nil {
				return err
			}
			t.Multi = append(t.Multi, sub)
		}
	default:
		return fmt.Errorf("no such type")
	}
	return d.Err()
}

// decodeCloseSession copes with servers that write no body: 12 bytes that start with the digest's version are the digest.
func (t *Txn) decodeCloseSession(d *jute.Decoder) {
	if d.Len() == 0 {
		return
	}
	if rest := d.Rest(); len(rest) == 12 && rest[0]|rest[1]|rest[2] == 0 && rest[3] == DigestVersion {
		return
	}
	if t.Paths = d.Strings(); t.Paths == nil {
		t.Paths = []string{}
	}
}

func decodeACL(d *jute.Decoder) []jute.ACL {
	n := d.Count()
	if n < 0 {
		return nil
	}
	acl := []jute.ACL{}
	for ; n > 0 && d.Err() == nil; n-- {
		var a jute.ACL
		a.Decode(d)
		acl = append(acl, a)
	}
	return acl
}
