package jute

import "errors"

// ErrMulti is the decoding error for a multi that holds an operation which has no place in it.
var ErrMulti = errors.New("jute: operation not allowed in a multi")

// ErrMultiACL is the decoding error for a multi with a create, create2 or createContainer that has a null ACL.
var ErrMultiACL = errors.New("jute: null ACL in a multi")

// Operation is the request of one write, or one part of a multi or multiRead, with the fields of all of them: which are set depends
// on Op. Its slices alias the input that it was decoded from.
type Operation struct {
	Op      Op
	Path    []byte
	Data    []byte
	ACL     []ACLText
	Flags   CreateMode
	TTL     int64 // milliseconds; -1 where the operation has none
	Version int32
	Watch   bool
}

// Decode reads the request record of o.Op from d; whether that worked is in d.Err. Opcodes without a record of these fields fail
// with [ErrMulti].
func (o *Operation) Decode(d *Decoder) {
	o.TTL = -1
	switch o.Op {
	case OpCreate, OpCreate2, OpCreateContainer:
		var r CreateRequest
		r.Decode(d)
		o.Path, o.Data, o.ACL, o.Flags = r.Path, r.Data, r.ACL, CreateMode(r.Flags)
	case OpCreateTTL:
		var r CreateTTLRequest
		r.Decode(d)
		o.Path, o.Data, o.ACL, o.Flags, o.TTL = r.Path, r.Data, r.ACL, CreateMode(r.Flags), r.TTL
	case OpDelete, OpCheck:
		o.Path, o.Version = d.Text(), d.Int32()
	case OpDeleteContainer:
		o.Path = d.Text()
	case OpSetData:
		o.Path, o.Data, o.Version = d.Text(), d.Buffer(), d.Int32()
	case OpSetACL:
		var r SetACLRequest
		r.Decode(d)
		o.Path, o.ACL, o.Version = r.Path, r.ACL, r.Version
	case OpGetData, OpGetChildren:
		o.Path, o.Watch = d.Text(), d.Bool()
	default:
		d.Fail(ErrMulti)
	}
}

// Append appends the request record of o.Op to b.
func (o *Operation) Append(b []byte) []byte {
	switch o.Op {
	case OpCreate, OpCreate2, OpCreateContainer:
		return (&CreateRequest{Path: o.Path, Data: o.Data, ACL: o.ACL, Flags: int32(o.Flags)}).Append(b)
	case OpCreateTTL:
		return (&CreateTTLRequest{Path: o.Path, Data: o.Data, ACL: o.ACL, Flags: int32(o.Flags), TTL: o.TTL}).Append(b)
	case OpDelete, OpCheck:
		return (&DeleteRequest{Path: o.Path, Version: o.Version}).Append(b)
	case OpDeleteContainer:
		return AppendBuffer(b, o.Path)
	case OpSetData:
		return (&SetDataRequest{Path: o.Path, Data: o.Data, Version: o.Version}).Append(b)
	case OpSetACL:
		return (&SetACLRequest{Path: o.Path, ACL: o.ACL, Version: o.Version}).Append(b)
	case OpGetData, OpGetChildren:
		return (&PathWatchRequest{Path: o.Path, Watch: o.Watch}).Append(b)
	}
	return b
}

// MultiEnd is the header that ends a multi, in requests and in answers.
var MultiEnd = MultiHeader{Type: -1, Done: true, Err: -1}

// DecodeMulti reads the body of a multi or multiRead: operations that are either all writes or all reads. It refuses what
// ZooKeeper's decoder refuses (a null ACL but in createTTL, create modes that the opcode does not take) and normalises as it does: create
// and create2 of a container become createContainer, and createTTL without a TTL mode becomes create or createContainer
// (MultiOperationRecord, Op).
func DecodeMulti(d *Decoder) []Operation {
	var ops []Operation
	for {
		var h MultiHeader
		h.Decode(d)
		if d.err != nil {
			return nil
		}
		if h.Done {
			return ops
		}
		o := Operation{Op: Op(h.Type)}
		if o.Op == OpSetACL || o.Op == OpDeleteContainer {
			d.Fail(ErrMulti)
			return nil
		}
		o.Decode(d)
		if d.err != nil {
			return nil
		}
		if len(ops) > 0 && o.read() != ops[0].read() {
			d.Fail(ErrMulti)
			return nil
		}
		if err := o.normalise(); err != nil {
			d.Fail(err)
			return nil
		}
		ops = append(ops, o)
	}
}

func (o *Operation) read() bool { return o.Op == OpGetData || o.Op == OpGetChildren }

// normalise checks that a create has a mode that its opcode takes, and gives the operation the opcode that it amounts to.
func (o *Operation) normalise() error {
	switch o.Op {
	case OpCreate, OpCreate2, OpCreateContainer:
		switch {
		case !o.Flags.Valid():
			return ErrMulti
		case o.ACL == nil:
			return ErrMultiACL
		case o.Flags.TTL():
			return ErrMulti
		case o.Flags == ModeContainer:
			o.Op = OpCreateContainer
		}
	case OpCreateTTL:
		switch {
		case o.Flags == ModeContainer:
			o.Op, o.TTL = OpCreateContainer, -1
		case !o.Flags.TTL():
			o.Op, o.TTL = OpCreate, -1
		}
	}
	return nil
}
