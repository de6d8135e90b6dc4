package server

import (
	"os/user"
	"slices"
	"strings"

	"quoll/audit"
	"quoll/jute"
	"quoll/tree"
)

// auditOps are the requests that the audit log has, by their names there.
var auditOps = map[jute.Op]string{
	jute.OpCreate: audit.Create, jute.OpCreate2: audit.Create, jute.OpCreateContainer: audit.Create, jute.OpCreateTTL: audit.Create,
	jute.OpDelete: audit.Delete, jute.OpSetData: audit.SetData, jute.OpSetACL: audit.SetACL, jute.OpMulti: audit.Multi, jute.OpReconfig: audit.Reconfig,
}

// modeNames are the create modes as the audit log has them.
var modeNames = map[jute.CreateMode]string{
	jute.ModePersistent: "persistent", jute.ModePersistentSequential: "persistent_sequential", jute.ModeEphemeral: "ephemeral", jute.ModeEphemeralSequential: "ephemeral_sequential",
	jute.ModeContainer: "container", jute.ModePersistentWithTTL: "persistent_with_ttl", jute.ModePersistentSequentialWithTTL: "persistent_sequential_with_ttl",
}

// auditServer writes down what happens to the server itself.
func (s *Server) auditServer(operation, result string) {
	if s.audit != nil {
		s.audit.Add(result, audit.Field{Name: "user", Value: processUser()}, audit.Field{Name: "operation", Value: operation})
	}
}

func (s *Server) closeAudit() {
	if s.audit == nil {
		return
	}
	if err := s.audit.Close(); err != nil {
		s.log.Error("closing the audit log", "error", err)
	}
}

// auditRequest writes down what a client's request has come to (AuditHelper). A transaction without a zxid is that of a request which got none, since it could not be decoded.
func (s *Server) auditRequest(r *Request, txn *tree.Txn, code jute.Code) {
	operation := auditOps[r.Op]
	if operation == "" {
		return
	}
	e := auditEvent{s: s, r: r, operation: operation, znode: txn.Path, hasZnode: true}
	failed := txn.Op() == jute.OpError
	if failed { // the path is that of the client, since there is nothing else
		e.znode, e.hasZnode = jute.JavaText(r.op.Path), r.op.Path != nil
	}
	switch operation {
	case audit.Create:
		if e.mode = modeNames[r.op.Flags]; e.mode == "" {
			return // ZooKeeper has no word for it, and then no line
		}
	case audit.SetACL:
		list := r.op.ACL
		if n := len(list); txn.Zxid == 0 && n > 0 && list[n-1].ID == nil {
			list = list[:n-1] // the request ends in the middle of it
		}
		if list == nil || txn.Zxid == 0 && r.op.Path == nil {
			return // the same
		}
		e.acl, e.hasACL = aclText(list), true
	case audit.Multi:
		if !failed {
			e.parts(txn)
			return
		}
	}
	result := audit.Success
	if failed || code != jute.OK {
		result = audit.Failure
	}
	e.add(result)
}

// auditEvent is what a line about a client's request says. A field may be there and empty.
type auditEvent struct {
	s                *Server
	r                *Request
	operation        string
	znode, acl       string
	hasZnode, hasACL bool
	mode             string
}

func (e *auditEvent) add(result string) {
	fields := make([]audit.Field, 0, 8)
	put := func(name, value string, there bool) {
		if there {
			fields = append(fields, audit.Field{Name: name, Value: value})
		}
	}
	users, chosen := e.s.auth.users(e.r.IDs)
	put("session", hex(e.r.Session), true)
	if users != "" || chosen != nil {
		fields = append(fields, audit.Field{Name: "user", Value: users, Chosen: chosen})
	}
	put("ip", e.r.conn.ipID.ID, true)
	put("operation", e.operation, true)
	put("znode", e.znode, e.hasZnode)
	put("znode_type", e.mode, e.mode != "")
	put("acl", e.acl, e.hasACL)
	e.s.audit.Add(result, fields...)
}

// parts writes down the changes of a multi one by one, or that none of them was made. ZooKeeper finds the mode of a created znode by the path that the request has for it, so there is none
// if that ends in a sequence number, and none with a time to live.
func (e *auditEvent) parts(txn *tree.Txn) {
	modes := map[string]string{}
	requested, _ := e.r.parts()
	for i := range requested {
		switch o := &requested[i]; o.Op {
		case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
			if !o.Flags.Valid() {
				return // as above
			}
			if o.Op != jute.OpCreateTTL {
				modes[jute.JavaText(o.Path)] = modeNames[o.Flags]
			}
		}
	}
	if slices.ContainsFunc(txn.Multi, func(part tree.Txn) bool { return part.Op() == jute.OpError }) {
		e.hasZnode = false
		e.add(audit.Failure)
		return
	}
	for i := range txn.Multi {
		part := &txn.Multi[i]
		if e.operation = auditOps[part.Op()]; e.operation == "" {
			continue
		}
		e.znode, e.mode = part.Path, ""
		if e.operation == audit.Create {
			e.mode = modes[part.Path]
		}
		e.add(audit.Success)
	}
}

// auditClosed writes down the ephemerals that went with a session. Every server of an ensemble does.
func (s *Server) auditClosed(session int64, changes []tree.Change) {
	for i := range changes {
		if changes[i].Kind == tree.Deleted {
			s.audit.Add(audit.Success, audit.Field{Name: "session", Value: hex(session)}, audit.Field{Name: "user", Value: processUser()},
				audit.Field{Name: "operation", Value: audit.DeleteOfClosed}, audit.Field{Name: "znode", Value: changes[i].Path})
		}
	}
}

// users are the names of all identities that have one (AuthUtil.getUsers); those that clients choose are apart, so that none of them hides one that is proved.
func (a *authenticator) users(ids []jute.ID) (proved string, chosen []string) {
	var b strings.Builder
	for _, id := range ids {
		name := a.user(id)
		if strings.TrimFunc(name, func(r rune) bool { return r <= ' ' }) == "" {
			continue
		}
		if s := a.schemes[id.Scheme]; s != nil && s.chosen {
			chosen = append(chosen, name)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name)
	}
	return b.String(), chosen
}

// aclText is an ACL list as the audit log has it: as the client gave it, but without hashes, which ZooKeeper has in it, and without anything between the entries (ZKUtil.aclToString).
func aclText(list []jute.ACLText) string {
	text := func(p []byte) string {
		if p == nil {
			return "null"
		}
		return jute.JavaText(p)
	}
	var b strings.Builder
	for i := range list {
		e := &list[i]
		shown := maskACL(jute.ACL{Scheme: text(e.Scheme), ID: text(e.ID)})
		b.WriteString(shown.Scheme + ":" + shown.ID + ":")
		for _, perm := range [...]struct {
			bit  int32
			name byte
		}{{jute.PermCreate, 'c'}, {jute.PermDelete, 'd'}, {jute.PermRead, 'r'}, {jute.PermWrite, 'w'}, {jute.PermAdmin, 'a'}} {
			if e.Perms&perm.bit != 0 {
				b.WriteByte(perm.name)
			}
		}
	}
	return b.String()
}

// processUser is the name of who runs the server; <NA> is how Java itself calls a name that is not there.
func processUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "<NA>"
}
