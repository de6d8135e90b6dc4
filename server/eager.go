package server

import (
	"quoll/jute"
	"quoll/tree"
)

// refusedHere is the error of a write that the ACLs in this server's own tree do not allow, or that has an ACL which is none; OK is for the leader to judge (enableEagerACLCheck,
// ZooKeeperServer.authWriteRequest). So what is refused costs the leader nothing. What the client has asked for before may change the ACLs, and is to be applied first: a write
// behind others that wait is always the leader's, where Java refuses it by the old list.
func (c *conn) refusedHere(r *Request) jute.Code {
	if !c.s.opts.EnableEagerACLCheck || c.s.member == nil || c.waiting.Load() > 0 {
		return jute.OK
	}
	var wanted int32
	path := jute.JavaText(r.op.Path)
	switch r.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpDelete:
		wanted = jute.PermCreate
		if r.Op == jute.OpDelete {
			wanted = jute.PermDelete
		}
		if !addressable(path) || undeletable[path] {
			return jute.OK
		}
		path = tree.ParentPath(path)
	case jute.OpSetData, jute.OpSetACL:
		wanted = jute.PermWrite
		if r.Op == jute.OpSetACL {
			wanted = jute.PermAdmin
		}
		path = treePath(path)
	default:
		return jute.OK
	}
	if r.Op != jute.OpDelete && r.Op != jute.OpSetData {
		if _, code := c.s.auth.fix(r.op.ACL, r.IDs); code == jute.ErrInvalidACL {
			return code
		}
	}
	refused := false
	c.s.readTree(func(t *tree.Tree) {
		n := t.Lookup(path)
		refused = n != nil && !c.s.auth.allowed(t.ACL(n), wanted, r.IDs)
	})
	if refused {
		return jute.ErrNoAuth
	}
	return jute.OK
}
