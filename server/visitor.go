package server

import (
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/netip"
	"slices"
	"strings"

	"quoll/jute"
	"quoll/tree"
)

// What one answer to the console has at most; a znode may hold more, or have more children.
const (
	consolePage  = 200       // children, sessions, paths
	consoleBytes = 256 << 10 // of the names or paths of a page, which has one at least
	consoleData  = 1 << 20   // bytes of a znode
)

// Visitor is somebody who looks at the tree over HTTP, and sees and may do what a client sees and may do that has the same credentials and address.
type Visitor struct {
	s    *Server
	from netip.AddrPort
	ids  []jute.ID // the address first, as of every client
}

// Visitor is the one with these credentials, as [Server.AdmitAdmin] takes them and with its errors: who may not use the guarded commands visits nothing.
func (s *Server) Visitor(credentials, remote string, state *tls.ConnectionState) (*Visitor, error) {
	ids, err := s.admitAdmin(credentials, remote, state)
	if err != nil {
		return nil, err
	}
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return nil, ErrNotAuthenticated
	}
	if own := (jute.ID{Scheme: "ip", ID: javaAddress(from.Addr().AsSlice(), from.Addr().Zone())}); ids[0] != own {
		ids = append([]jute.ID{own}, ids...)
	}
	return &Visitor{s: s, from: from, ids: ids}, nil
}

// Identities are the schemes and names under which ACLs know the visitor, without secrets.
func (v *Visitor) Identities() []string { return v.s.auth.shown(v.ids) }

// look calls fn with a query of the visitor's for the znode at path, while the tree does not change. Without the znode, and in a server that does not serve, the error is that of a client.
func (v *Visitor) look(path string, fn func(q *query, n *tree.Node) error) (err error) {
	if !v.s.Serving() {
		return jute.ErrConnectionLoss
	}
	v.s.readTree(func(t *tree.Tree) {
		n := t.Lookup(path)
		if n == nil {
			err = jute.ErrNoNode
			return
		}
		err = fn(&query{s: v.s, ids: v.ids}, n)
	})
	return err
}

// Children are a page of the children of a znode, by name: those behind the name after whose names contain a text, with how many have it in all. Of a child that the visitor may not read there is the name alone.
func (v *Visitor) Children(path, after, contains string) (facts Facts, err error) {
	err = v.look(path, func(q *query, n *tree.Node) error {
		if !q.mayRead(n) {
			return jute.ErrNoAuth
		}
		byName := func(n *tree.Node, name string) int { return strings.Compare(n.Name(), name) }
		var page []*tree.Node // the least names so far
		last, found, behind := "", 0, 0
		for child := range n.EachChild() {
			name := child.Name()
			if contains != "" && !strings.Contains(name, contains) {
				continue
			}
			found++
			if name <= after {
				continue
			}
			behind++
			if len(page) == consolePage {
				if name > last {
					continue
				}
				page = page[:consolePage-1]
			}
			at, _ := slices.BinarySearchFunc(page, name, byName)
			page = slices.Insert(page, at, child)
			last = page[len(page)-1].Name()
		}
		list, size := []Facts{}, 0
		for _, child := range page {
			name := strings.Clone(child.Name())
			if size += len(name); size > consoleBytes && len(list) > 0 {
				break
			}
			one := Facts{{"name", name}}
			if q.mayRead(child) {
				one = append(one, Facts{{"children", child.NumChildren()}, {"bytes", len(child.Data())}, {"kind", kindOf(child)}}...)
			}
			list = append(list, one)
		}
		facts = Facts{{"total", n.NumChildren()}, {"found", found}, {"more", behind > len(list)}, {"children", list}}
		return nil
	})
	return facts, err
}

// kindOf says what becomes of a znode by itself.
func kindOf(n *tree.Node) string {
	owner := n.Owner()
	_, ttl := owner.TTL()
	switch {
	case owner == tree.ContainerOwner:
		return "container"
	case ttl:
		return "ttl"
	case owner.Ephemeral():
		return "ephemeral"
	}
	return "persistent"
}

// Node is a znode with its data, in base64 and no more than a MiB of it, stat and ACL. Who may change the ACL and not read the znode sees no data.
func (v *Visitor) Node(path string) (facts Facts, err error) {
	err = v.look(path, func(q *query, n *tree.Node) error {
		acl := v.s.tree.ACL(n)
		if !v.s.auth.allowed(acl, jute.PermRead|jute.PermAdmin, v.ids) {
			return jute.ErrNoAuth
		}
		if q.mayRead(n) {
			data := n.Data()
			facts = Facts{{"bytes", len(data)}, {"null", data == nil}, {"data", base64.StdEncoding.EncodeToString(data[:min(len(data), consoleData)])}}
		}
		st := n.Stat()
		facts = append(facts, Facts{{"kind", kindOf(n)}, {"stat", Facts{
			{"czxid", hex(st.Czxid)}, {"mzxid", hex(st.Mzxid)}, {"pzxid", hex(st.Pzxid)}, {"ctime", st.Ctime}, {"mtime", st.Mtime}, {"version", st.Version},
			{"cversion", st.Cversion}, {"aversion", st.Aversion}, {"ephemeralOwner", hex(st.EphemeralOwner)}, {"dataLength", st.DataLength}, {"numChildren", st.NumChildren},
		}}}...)
		list, masked := []Facts{}, q.masksACL(acl)
		for _, a := range acl {
			if len(list) == consolePage {
				break
			}
			if masked {
				a = maskACL(a)
			}
			list = append(list, Facts{{"perms", jute.PermText(a.Perms)}, {"scheme", a.Scheme}, {"id", a.ID}})
		}
		facts = append(facts, Fact{"acl", list})
		return nil
	})
	return facts, err
}

// Connect is a new connection of a client that is the visitor, to a server that knows no more of it than of any other: its limits, the audit log and the ensemble take it for one.
func (v *Visitor) Connect() net.Conn {
	here, there := net.Pipe()
	v.s.admit(newcomer{Conn: visit{there, net.TCPAddrFromAddrPort(v.from)}, ids: v.ids[1:]})
	return here
}

// visit is a connection from a visitor's address.
type visit struct {
	net.Conn
	from net.Addr
}

// RemoteAddr is the visitor's.
func (v visit) RemoteAddr() net.Addr { return v.from }
