package ensemble

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quoll/client"
	"quoll/compat/observe"
	"quoll/inspect"
	"quoll/jute"
	"quoll/txnlog"
)

// connect connects a client to one of some members, and has it hand its events to a function unless that is nil.
func connect(ctx context.Context, events func(client.Event), members ...*Member) (*client.Client, error) {
	var addrs []string
	for _, m := range members {
		addrs = append(addrs, m.Addr())
	}
	c, err := client.Connect(ctx, strings.Join(addrs, ","), client.Options{Timeout: 30 * time.Second, OnEvent: events, Dial: members[0].clients.Dial})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", members, err)
	}
	return c, nil
}

// Settle writes a last znode and waits until it is on the disk of every member that runs.
func (e *Ensemble) Settle(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var running []*Member
	for _, m := range e.Members {
		if m.Running() {
			running = append(running, m)
		}
	}
	c, err := connect(ctx, nil, running...)
	if err != nil {
		return err
	}
	// The session is left behind: closing it would be a transaction after the last one.
	defer c.Abandon()
	if _, err := c.Create(ctx, path, []byte("settled"), client.OpenACL, jute.ModePersistent); err != nil {
		return err
	}
	for _, m := range running {
		if err := e.await(func() bool { return m.OnDisk(path) }); err != nil {
			return fmt.Errorf("%s is not on the disk of %v after %w", path, m, err)
		}
	}
	return nil
}

// Tree is all that a client of the member can see after a sync. /zookeeper/config is not in it: each server writes its own.
func (m *Member) Tree() (map[string]observe.Znode, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := connect(ctx, nil, m)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.Sync(ctx, "/"); err != nil {
		return nil, fmt.Errorf("%v: sync: %w", m, err)
	}
	all, err := observe.Tree(c, []string{"/"}, "/zookeeper/config")
	if err != nil {
		return nil, fmt.Errorf("%v: %w", m, err)
	}
	// In 3.4 there is no such znode, and creating it locally is a change of its parent.
	delete(all, "/zookeeper")
	return all, nil
}

// transactions calls a function for the headers of the whole records after a zxid in the logs of a member, which may run.
func (m *Member) transactions(after int64, fn func(h jute.TxnHeader, failed jute.Code)) error {
	files, err := txnlog.Logs(txnlog.OS, filepath.Join(m.Dir(), "version-2"))
	if err != nil {
		return err
	}
	for i, f := range files {
		if i+1 < len(files) && files[i+1].Zxid <= after+1 {
			continue
		}
		s, err := txnlog.ScanLog(txnlog.OS, f.Path, 0)
		if err != nil {
			return err
		}
		_, defect, err := s.Header()
		for err == nil && defect == txnlog.Whole {
			var r txnlog.Record
			if r, defect, err = s.Next(); err == nil && defect == txnlog.Whole && r.Zxid > after {
				var h jute.TxnHeader
				d := jute.NewDecoder(r.Entry)
				h.Decode(&d)
				failed := jute.OK
				if jute.Op(h.Type) == jute.OpError {
					failed = jute.Code(d.Int32())
				}
				fn(h, failed)
			}
		}
		if err = errors.Join(err, s.Close()); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return nil
}

// SameTrees compares what all members that run show; the error lists where they differ.
func (e *Ensemble) SameTrees() (znodes int, err error) {
	var first map[string]observe.Znode
	var whose *Member
	for _, m := range e.Members {
		if !m.Running() {
			continue
		}
		all, err := m.Tree()
		if err != nil {
			return 0, err
		}
		if first == nil {
			first, whose = all, m
			continue
		}
		if list := unlike(first, all); len(list) > 0 {
			return 0, fmt.Errorf("%v and %v show %d differences:\n%s", whose, m, len(list), strings.Join(list[:min(10, len(list))], "\n"))
		}
	}
	return len(first), nil
}

func unlike(a, b map[string]observe.Znode) (list []string) {
	paths := maps.Clone(a)
	maps.Copy(paths, b)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		x, inA := a[path]
		y, inB := b[path]
		if inA != inB || !x.Equal(y) {
			list = append(list, fmt.Sprintf("%s\n\t%t %v\n\t%t %v", path, inA, x, inB, y))
		}
	}
	return list
}

// Digest is the digest of the tree that the files of a stopped member hold, and its znodes.
func (m *Member) Digest() (digest int64, znodes int, err error) {
	dir := filepath.Join(m.Dir(), "version-2")
	state, err := inspect.LoadState(dir, dir, inspect.Options{})
	if err != nil {
		return 0, 0, fmt.Errorf("%v: %w", m, err)
	}
	return state.Digest(), state.Len(), nil
}

// Agree ends an ensemble: it compares what all members that run show, of how many znodes, stops them, and compares their files.
func (e *Ensemble) Agree() (znodes int, err error) {
	if znodes, err = e.SameTrees(); err != nil {
		return 0, err
	}
	if err = e.Settle("/settled"); err != nil {
		return 0, err
	}
	if err = e.Stop(); err != nil {
		return 0, err
	}
	return znodes, e.SameDigests()
}

// SameDigests compares the files of all members, which must not run. A 3.4 that never wrote a snapshot is left out: there is nothing that its
// log begins from.
func (e *Ensemble) SameDigests() error {
	var text string
	seen := map[int64]bool{}
	for _, m := range e.Members {
		if snapshots, _ := filepath.Glob(filepath.Join(m.Dir(), "version-2", "snapshot.*")); len(snapshots) == 0 && m.Kind() == "3.4.14" {
			continue
		}
		digest, znodes, err := m.Digest()
		if err != nil {
			return err
		}
		seen[digest] = true
		text += fmt.Sprintf("%v: digest %d of %d znodes\n", m, digest, znodes)
	}
	if len(seen) > 1 {
		return fmt.Errorf("the files differ:\n%s", text)
	}
	return nil
}
