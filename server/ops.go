package server

import (
	"quoll/jute"
	"quoll/tree"
)

// opKind says which way a request of an opcode takes.
type opKind uint8

const (
	refused    opKind = iota // not accepted from clients
	connection               // handled where it is read: authentication
	read                     // served from the local tree
	write                    // a transaction
)

// opRow is what the server knows of one opcode. The table below is the list of everything a client can ask for.
type opRow struct {
	kind opKind
	// lop is the name of the last operation in the word cons.
	lop string
	// handle is for connection requests.
	handle func(c *conn, xid int32, body []byte) error
	// read appends the answer to q.b; on an error what it appended is dropped.
	read func(q *query) jute.Code
	// alone is for reads that can take long for a short request: they run while no other read holds up transactions, and never within one.
	alone bool
	// reply appends the answer to a write that succeeded.
	reply func(b []byte, r *tree.Result) []byte
	// result is the type in the header of such a result inside a multi; 0 where it is no part of one.
	result jute.Op
}

var ops map[jute.Op]*opRow

// unknownOp stands for every opcode without a row.
var unknownOp = opRow{kind: refused}

func init() {
	ops = map[jute.Op]*opRow{
		jute.OpNotification:  {kind: refused},
		jute.OpError:         {kind: refused},
		jute.OpCheck:         {kind: refused, lop: "CHEC", reply: replyNothing, result: jute.OpCheck}, // only inside a multi
		jute.OpCreateSession: {kind: refused, lop: "SESS"},
		// The server makes these itself when a container is empty.
		jute.OpDeleteContainer: {kind: refused, lop: "DELC", reply: replyNothing},

		jute.OpAuth: {kind: connection, handle: (*conn).handleAuth},
		jute.OpSASL: {kind: connection, handle: (*conn).handleSASL},

		jute.OpExists:               {kind: read, lop: "EXIS", read: (*query).exists},
		jute.OpGetData:              {kind: read, lop: "GETD", read: (*query).getData},
		jute.OpGetACL:               {kind: read, lop: "GETA", read: (*query).getACL},
		jute.OpGetChildren:          {kind: read, lop: "GETC", read: (*query).getChildren},
		jute.OpGetChildren2:         {kind: read, lop: "GETC", read: (*query).getChildren2},
		jute.OpSync:                 {kind: read, lop: "SYNC", read: (*query).sync},
		jute.OpPing:                 {kind: read, lop: "PING", read: func(*query) jute.Code { return jute.OK }},
		jute.OpCheckWatches:         {kind: read, lop: "CHKW", read: (*query).checkWatches},
		jute.OpRemoveWatches:        {kind: read, lop: "REMW", read: (*query).removeWatches},
		jute.OpMultiRead:            {kind: read, lop: "MLTR", read: (*query).multiRead, alone: true},
		jute.OpSetWatches:           {kind: read, lop: "SETW", read: (*query).setWatches, alone: true},
		jute.OpSetWatches2:          {kind: read, lop: "STW2", read: (*query).setWatches2, alone: true},
		jute.OpGetEphemerals:        {kind: read, lop: "GETE", read: (*query).getEphemerals, alone: true},
		jute.OpGetAllChildrenNumber: {kind: read, lop: "GETACN", read: (*query).getAllChildrenNumber, alone: true},
		jute.OpAddWatch:             {kind: read, lop: "ADDW", read: (*query).addWatch},
		jute.OpWhoAmI:               {kind: read, lop: "HOMI", read: (*query).whoAmI},

		jute.OpCreate:          {kind: write, lop: "CREA", reply: replyPath, result: jute.OpCreate},
		jute.OpCreate2:         {kind: write, lop: "CREA", reply: replyPathStat, result: jute.OpCreate2},
		jute.OpCreateContainer: {kind: write, lop: "CREA", reply: replyPathStat, result: jute.OpCreate2},
		jute.OpCreateTTL:       {kind: write, lop: "CREA", reply: replyPathStat, result: jute.OpCreate2},
		jute.OpDelete:          {kind: write, lop: "DELE", reply: replyNothing, result: jute.OpDelete},
		jute.OpSetData:         {kind: write, lop: "SETD", reply: replyStat, result: jute.OpSetData},
		jute.OpSetACL:          {kind: write, lop: "SETA", reply: replyStat},
		jute.OpReconfig:        {kind: write, lop: "RECO", reply: replyData},
		jute.OpMulti:           {kind: write, lop: "MULT", reply: replyMulti},
		// Only that of a local session, which has no transaction, is served like a read.
		jute.OpCloseSession: {kind: write, lop: "CLOS", reply: replyNothing, read: func(*query) jute.Code { return jute.OK }},
	}
}

func replyNothing(b []byte, _ *tree.Result) []byte { return b }

func replyPath(b []byte, r *tree.Result) []byte { return jute.AppendString(b, r.Path) }

func replyStat(b []byte, r *tree.Result) []byte { return r.Stat.Append(b) }

func replyPathStat(b []byte, r *tree.Result) []byte {
	return r.Stat.Append(jute.AppendString(b, r.Path))
}

// replyMulti appends one entry for each part: its result, or an error entry. The header of a failed multi says OK all the same.
func replyMulti(b []byte, r *tree.Result) []byte {
	for i := range r.Multi {
		part := &r.Multi[i]
		row := ops[part.Op]
		if part.Op == jute.OpError || part.Err != jute.OK {
			b = appendErrorPart(b, part.Err)
			continue
		}
		b = (&jute.MultiHeader{Type: int32(row.result)}).Append(b)
		b = row.reply(b, part)
	}
	return jute.MultiEnd.Append(b)
}

func appendErrorPart(b []byte, code jute.Code) []byte {
	b = (&jute.MultiHeader{Type: int32(jute.OpError), Err: int32(code)}).Append(b)
	return jute.AppendInt32(b, int32(code))
}
