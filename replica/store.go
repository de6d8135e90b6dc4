package replica

import (
	"errors"
	"io/fs"
	"syscall"

	"quoll/jute"
	"quoll/store"
	"quoll/tree"
	"quoll/txnlog"
)

// captureSlice is how many znodes are read out of the tree at a time, so that writers wait for microseconds and not for a whole checkpoint.
const captureSlice = 256

// OpenStore opens the store, or a new one in the place of one that cannot be used.
func OpenStore(o store.Options) (*store.Store, error) {
	s, err := store.Open(o)
	if err == nil || errors.Is(err, store.ErrLocked) || txnlog.IsFull(err) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EMFILE) {
		return s, err // what is in it may be good
	}
	o.Logger.Warn("the store cannot be opened and is built anew from ZooKeeper's files", "dir", o.Dir, "error", err)
	if removeErr := store.Remove(o); removeErr != nil {
		return nil, errors.Join(err, removeErr)
	}
	return store.Open(o)
}

// WriteStore takes a capture to the store; whether it worked or not, the capture is still open. mark is the Adler-32 of the log record that the capture ends
// with. read calls its argument while the tree does not change. pace is called with the number of bytes after each portion, and its error ends the writing.
func WriteStore(s *store.Store, c *tree.Capture, mark uint32, read func(func(*tree.Tree)), pace func(bytes int) error) error {
	c.Sort()
	b := s.Begin(c.Full)
	for _, s := range c.Sessions {
		if s.Gone {
			b.EndSession(s.ID)
		} else {
			b.Session(s.ID, s.Timeout)
		}
	}
	for _, a := range c.ACLs {
		if a.ACL == nil {
			b.EndACL(a.Number)
		} else {
			b.ACL(a.Number, a.ACL)
		}
	}
	b.Pace(pace)
	slice := make([]captured, 0, captureSlice)
	data := []byte{} // of all in the slice: the tree's own is good only while it does not change
	for more := true; more; {
		slice, data = slice[:0], data[:0]
		read(func(t *tree.Tree) {
			more, _ = c.Next(captureSlice, func(n *tree.Node) error {
				node := captured{path: n.Path(), acl: t.ACLNumber(n), stat: n.Persisted()}
				if d := n.Data(); d != nil {
					data = append(data, d...)
					node.data = data[len(data)-len(d) : len(data) : len(data)]
				}
				slice = append(slice, node)
				return nil
			}, func(path string) error {
				slice = append(slice, captured{path: path, gone: true})
				return nil
			})
		})
		size := 0
		for i := range slice {
			if n := &slice[i]; n.gone {
				b.Delete(n.path)
			} else {
				b.Put(n.path, n.data, n.acl, &n.stat)
				size += len(n.path) + len(n.data) + 80
			}
		}
		if err := pace(size); err != nil {
			b.Abort()
			return err
		}
	}
	return b.Commit(store.State{Zxid: c.Zxid, Digest: c.Digest, Znodes: int64(c.Znodes), RecordSum: mark})
}

// captured is a znode as it was at a cut.
type captured struct {
	path string
	data []byte
	acl  int64
	stat jute.StatPersisted
	gone bool
}
