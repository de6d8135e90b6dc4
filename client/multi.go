package client

import (
	"errors"

	"quoll/jute"
)

// MultiRequest is the request of multi and multiRead.
type MultiRequest []jute.Operation

// Append appends the record to b.
func (r MultiRequest) Append(b []byte) []byte {
	for i := range r {
		b = (&jute.MultiHeader{Type: int32(r[i].Op), Err: -1}).Append(b)
		b = r[i].Append(b)
	}
	return jute.MultiEnd.Append(b)
}

// OpResult is the result of one operation of a multi or multiRead. Which fields are set depends on Op: for the three opcodes that
// create with a Stat it is create2.
type OpResult struct {
	Op       jute.Op   // jute.OpError if the operation failed
	Err      jute.Code // of a multi that failed: OK before the operation to blame, ErrRuntimeInconsistency after it
	Path     string
	Stat     jute.Stat
	Data     []byte
	Children []string
}

// MultiResponse is the answer of multi and multiRead.
type MultiResponse []OpResult

var errMultiResult = errors.New("client: answer of a multi holds an unknown result")

// Decode reads the record from d; whether that worked is in d.Err.
func (r *MultiResponse) Decode(d *jute.Decoder) {
	*r = nil
	for {
		var h jute.MultiHeader
		h.Decode(d)
		if d.Err() != nil || h.Done {
			return
		}
		res := OpResult{Op: jute.Op(h.Type)}
		switch res.Op {
		case jute.OpCreate:
			res.Path = d.String()
		case jute.OpCreate2:
			res.Path = d.String()
			res.Stat.Decode(d)
		case jute.OpSetData:
			res.Stat.Decode(d)
		case jute.OpGetData:
			res.Data = d.Buffer()
			res.Stat.Decode(d)
		case jute.OpGetChildren:
			res.Children = d.Strings()
		case jute.OpError:
			res.Err = jute.Code(d.Int32())
		case jute.OpDelete, jute.OpCheck:
		default:
			d.Fail(errMultiResult)
		}
		*r = append(*r, res)
	}
}

// Err returns the error that made a multi fail, or nil.
func (r MultiResponse) Err() error {
	for _, res := range r {
		if res.Err != jute.OK {
			return res.Err
		}
	}
	return nil
}
