package replica

import (
	"cmp"
	"slices"

	"quoll/jute"
	"quoll/store"
	"quoll/tree"
	"quoll/txnlog"
)

// StoreSource is the state in a view of the store, for a snapshot. pace is called with the number of bytes after each portion, and its error ends the writing.
func StoreSource(view *store.View, pace func(bytes int) error) (txnlog.SnapshotSource, error) {
	var sessions []txnlog.Session
	var acls []txnlog.ACLList
	err := view.Sessions(func(id int64, timeout int32) {
		sessions = append(sessions, txnlog.Session{ID: id, Timeout: timeout})
	})
	if err == nil {
		err = view.ACLs(func(number int64, acl []jute.ACL) {
			acls = append(acls, txnlog.ACLList{Number: number, ACL: acl})
		})
	}
	if err != nil {
		return txnlog.SnapshotSource{}, err // a store that has failed may still be adding to the lists
	}
	return txnlog.SnapshotSource{Sessions: sessions, ACLs: acls, Nodes: func(b []byte) (_ []byte, more bool, err error) {
		before := len(b)
		if b, more, err = view.Nodes(b); err == nil {
			err = pace(len(b) - before)
		}
		return b, more, err
	}}, nil
}

// WriteSnapshot writes the snapshot of a zxid into a version-2 directory, with the blocks that the configuration asks for.
func WriteSnapshot(o *Options, dir string, src txnlog.SnapshotSource, zxid, digest int64) (file string, size int64, err error) {
	s, err := StageSnapshot(o, dir, src, zxid, digest)
	if err != nil {
		return "", 0, err
	}
	return s.Path, s.Size, s.Place(o.FS)
}

// StageSnapshot does all of WriteSnapshot but for the name.
func StageSnapshot(o *Options, dir string, src txnlog.SnapshotSource, zxid, digest int64) (txnlog.StagedSnapshot, error) {
	src.Ours = true
	if o.DigestEnabled {
		src.Digest = func() txnlog.SnapshotDigest { return txnlog.SnapshotDigest{Zxid: zxid, Digest: digest} }
	}
	if o.SerializeLastProcessedZxid {
		src.LastZxid = func() int64 { return zxid }
	}
	return txnlog.StageSnapshot(o.FS, dir, zxid, txnlog.Compression(o.SnapshotCompression), src)
}

// WholeTree is the state of a tree, which does not change meanwhile. What the next cut has is not touched.
func WholeTree(t *tree.Tree) (src txnlog.SnapshotSource) {
	t.EachSession(func(id int64, timeout int32) {
		src.Sessions = append(src.Sessions, txnlog.Session{ID: id, Timeout: timeout})
	})
	sortSessions(src.Sessions)
	t.EachACL(func(number int64, acl []jute.ACL) {
		src.ACLs = append(src.ACLs, txnlog.ACLList{Number: number, ACL: acl})
	})
	w := t.Walk(t.Lookup(tree.RootPath))
	src.Nodes = func(b []byte) ([]byte, bool, error) {
		for range captureSlice {
			n := w.Next()
			if n == nil {
				return b, false, nil
			}
			stat := n.Persisted()
			b = txnlog.AppendNode(b, n.Path(), n.Data(), t.ACLNumber(n), &stat)
		}
		return b, true, nil
	}
	return src
}

// sortSessions makes the bytes of a snapshot a function of the state.
func sortSessions(list []txnlog.Session) {
	slices.SortFunc(list, func(a, b txnlog.Session) int { return cmp.Compare(a.ID, b.ID) })
}
