package backup

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// world writes a data directory as a server does, one transaction at a time, and remembers the tree after each.
type world struct {
	t      *testing.T
	dir    string // dataDir
	logs   string // version-2 of the logs
	snaps  string
	tree   *tree.Tree
	log    *txnlog.Log
	zxid   int64
	now    int64
	states map[Zxid]string

	noDigests   bool // as with zookeeper.digest.enabled=false
	compression txnlog.Compression
}

func newWorld(t *testing.T, dataLogDir string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), tree: tree.New(), now: 1_800_000_000_000, states: map[Zxid]string{}}
	var err error
	w.snaps, w.logs, err = txnlog.PrepareDirs(txnlog.OS, w.dir, dataLogDir, true)
	must(t, err)
	w.open()
	w.states[0] = dump(w.tree)
	w.snapshot(nil)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open starts a new log, as a server does after a start.
func (w *world) open() { w.log = txnlog.NewLog(txnlog.LogOptions{Dir: w.logs, PreAlloc: 64 << 10}) }

func (w *world) options(to string) Options {
	now := time.UnixMilli(w.now)
	o := Options{DataDir: w.dir, To: to, Now: func() time.Time { return now }}
	if w.logs != w.snaps {
		o.DataLogDir = filepath.Dir(w.logs)
	}
	return o
}

func (w *world) apply(op jute.Op, fill func(*tree.Txn)) {
	w.t.Helper()
	w.zxid++
	w.now++
	txn := tree.Txn{TxnHeader: jute.TxnHeader{ClientID: 0x1001, Cxid: 1, Zxid: w.zxid, Time: w.now, Type: int32(op)}}
	fill(&txn)
	w.tree.Apply(&txn, &tree.Result{}, nil)
	if op != jute.OpError && !w.noDigests {
		txn.Digest, txn.HasDigest = w.tree.Digest(), true
	}
	w.log.Append(w.zxid, txn.Append(nil))
	must(w.t, w.log.Sync())
	w.states[Zxid(w.zxid)] = dump(w.tree)
}

func (w *world) create(path string) {
	w.t.Helper()
	w.apply(jute.OpCreate, func(txn *tree.Txn) {
		parent := w.tree.Lookup(tree.ParentPath(path))
		txn.Path, txn.Data, txn.ACL = path, []byte("data of "+path), []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}
		txn.ParentCVersion = parent.Persisted().Cversion + 1
	})
}

func (w *world) creates(n int) {
	w.t.Helper()
	for range n {
		w.create(fmt.Sprintf("/n%d", w.zxid+1))
	}
}

// sets changes the data of every znode that creates has made.
func (w *world) sets() {
	w.t.Helper()
	for _, n := range w.tree.Lookup("/").Children() {
		if n.Name() != "zookeeper" {
			w.apply(jute.OpSetData, func(txn *tree.Txn) {
				txn.Path, txn.Data, txn.Version = n.Path(), fmt.Appendf(nil, "set %d", w.zxid), n.Version()+1
			})
		}
	}
}

// restricts changes the ACL of every znode that creates has made, which leaves no zxid in them.
func (w *world) restricts() {
	w.t.Helper()
	for _, n := range w.tree.Lookup("/").Children() {
		if n.Name() != "zookeeper" {
			w.apply(jute.OpSetACL, func(txn *tree.Txn) {
				txn.Path, txn.ACL, txn.Version = n.Path(), []jute.ACL{{Perms: jute.PermRead, Scheme: "world", ID: "anyone"}}, 1
			})
		}
	}
}

// failed is a request that changed nothing but used up a zxid.
func (w *world) failed() {
	w.t.Helper()
	w.apply(jute.OpError, func(txn *tree.Txn) { txn.Err = jute.ErrNoNode })
}

// snapshot writes one; between, if set, is called in the middle of the nodes, so that the rest is of a later state.
func (w *world) snapshot(between func()) string {
	w.t.Helper()
	var paths []string
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		paths = append(paths, n.Path())
		for _, c := range n.Children() {
			walk(c)
		}
	}
	walk(w.tree.Lookup("/"))
	var src txnlog.SnapshotSource
	w.tree.EachSession(func(id int64, timeout int32) {
		src.Sessions = append(src.Sessions, txnlog.Session{ID: id, Timeout: timeout})
	})
	w.tree.EachACL(func(id int64, acl []jute.ACL) { src.ACLs = append(src.ACLs, txnlog.ACLList{Number: id, ACL: acl}) })
	half := len(paths) / 2
	src.Nodes = func(b []byte) ([]byte, bool, error) {
		if len(paths) == half && between != nil {
			between()
			between = nil
		}
		if n := w.tree.Lookup(paths[0]); n != nil {
			stat := n.Persisted()
			b = txnlog.AppendNode(b, n.Path(), n.Data(), w.tree.ACLNumber(n), &stat)
		}
		paths = paths[1:]
		return b, len(paths) > 0, nil
	}
	if !w.noDigests {
		src.Digest = func() txnlog.SnapshotDigest {
			return txnlog.SnapshotDigest{Zxid: w.zxid, Digest: w.tree.Digest()}
		}
	}
	src.LastZxid = func() int64 { return w.zxid }
	path, _, err := txnlog.WriteSnapshot(txnlog.OS, w.snaps, w.zxid, w.compression, src)
	must(w.t, err)
	return path
}

// newestLog is the path of the log written last.
func (w *world) newestLog() string {
	w.t.Helper()
	logs, err := list(txnlog.OS, w.logs, txnlog.Logs)
	must(w.t, err)
	return filepath.Join(w.logs, logs[len(logs)-1].name)
}

// dump is everything that a tree keeps on disk.
func dump(t *tree.Tree) string {
	var lines []string
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		lines = append(lines, fmt.Sprintf("%q %q %+v %v", n.Path(), n.Data(), n.Persisted(), t.ACL(n)))
		for _, c := range n.Children() {
			walk(c)
		}
	}
	walk(t.Lookup("/"))
	t.EachSession(func(id int64, timeout int32) { lines = append(lines, fmt.Sprint("session ", id, timeout)) })
	slices.Sort(lines)
	return strings.Join(append(lines, fmt.Sprint("zxid ", t.LastZxid())), "\n")
}

// load reads a data directory as a server does at its start.
func load(t *testing.T, dataDir, dataLogDir string) string {
	t.Helper()
	if dataLogDir == "" {
		dataLogDir = dataDir
	}
	got, err := replay(t.Context(), txnlog.OS, filepath.Join(dataDir, versionDir), filepath.Join(dataLogDir, versionDir), math.MaxInt64,
		func(*tree.Tree, txnlog.Record, *tree.Txn) error { return nil })
	must(t, err)
	return dump(got)
}

// backUp makes a pass and verifies what it made.
func (w *world) backUp(to string) *Report {
	w.t.Helper()
	r, err := Run(w.t.Context(), w.options(to))
	must(w.t, err)
	w.verify(to)
	return r
}

func (w *world) verify(to string) {
	w.t.Helper()
	problems, err := Verify(w.t.Context(), nil, to)
	must(w.t, err)
	for _, p := range problems {
		w.t.Error(p)
	}
}

// restores checks that a backup gives the state after transactions of its ranges: each one, or one out of step.
func (w *world) restores(to string, step int) {
	w.t.Helper()
	m, err := Load(nil, to)
	must(w.t, err)
	for _, r := range m.Ranges() {
		done := 0
		for n, z := range slices.Sorted(maps.Keys(w.states)) {
			if r.From <= z && z <= r.To && (n%step == 0 || z == r.To) {
				w.restoresTo(to, z)
				done++
			}
		}
		if done == 0 {
			w.t.Errorf("there is nothing in %v", r)
		}
	}
}

func (w *world) restoresTo(to string, z Zxid) {
	w.t.Helper()
	dir := w.t.TempDir()
	r, err := Restore(w.t.Context(), RestoreOptions{From: to, DataDir: dir, Target: AtZxid(z)})
	if err != nil {
		w.t.Fatalf("%v: %v", z, err)
	}
	if got, want := load(w.t, dir, ""), w.states[z]; got != want {
		w.t.Fatalf("%v from %s: the tree is\n%s\nand was\n%s", z, r.Snapshot, got, want)
	}
	if !r.Verified && z > 0 {
		w.t.Errorf("%v: not verified", z)
	}
	must(w.t, os.RemoveAll(dir))
}

// flip changes one bit of a file.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	b := []byte{0}
	_, err = f.ReadAt(b, at)
	must(t, err)
	b[0] ^= 4
	_, err = f.WriteAt(b, at)
	must(t, err)
	must(t, f.Close())
}
