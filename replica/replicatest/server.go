package replicatest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"quoll/jute"
	"quoll/replica"
	"quoll/server"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/txnlog/memfs"
	"quoll/zab"
	"quoll/zab/zabtest"
)

// Server is a whole server on a disk in memory.
type Server struct {
	cast  *Cast
	index int
	rng   *rand.Rand

	disk   *memfs.FS
	member *replica.Member
	prep   *server.Preparer
	// prepared is the tree that prep is for.
	prepared *tree.Tree
	result   tree.Result
	changes  []tree.Change

	// What happens to the disk is asked for by goroutines of Pebble too.
	mu sync.Mutex
	// after is what the loss of power has left, if there was one.
	after *memfs.FS
	// cut counts down to it.
	cut int
	// broken is the fault of the disk, which begins after a number of operations of its kind, and goes on for some.
	broken struct {
		op          string
		after, left int
		err         error
	}
	// full is for how many operations more the disk is full.
	full int
}

// Told is what a client is told of its transaction.
type Told struct {
	Zxid   int64
	Op     jute.Op
	Result *tree.Result // until the next transaction is applied
}

func newServer(c *Cast, seed uint64, index int) *Server {
	s := &Server{cast: c, index: index, rng: rand.New(rand.NewPCG(seed, uint64(index)))}
	s.use(memfs.New())
	s.disk.WriteFile(filepath.Join(dataDir, "initialize"), nil)
	return s
}

// use makes a disk the server's.
func (s *Server) use(disk *memfs.FS) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk, s.after, s.cut, s.full = disk, nil, 0, 0
	s.broken.left = 0
	disk.Fail = func(op, name string) error { return s.operation(disk, op, name) }
}

// operation is asked before each operation that changes the disk.
func (s *Server) operation(disk *memfs.FS, op, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if disk != s.disk || s.after != nil {
		return nil // nobody will see it
	}
	if s.cut > 0 {
		if s.cut--; s.cut == 0 {
			s.after = disk.Crash(s.rng)
			s.cast.Stats.PowerCuts++
			s.cast.Stats.Cut[op+" "+fileKind(name)]++
			return nil
		}
	}
	if s.full > 0 {
		if s.full--; s.full == 0 {
			disk.SetLimit(0)
		}
	}
	b := &s.broken
	if b.left == 0 || b.op != op || strings.Contains(name, "/store") {
		return nil
	}
	if b.after > 0 {
		b.after--
		return nil
	}
	b.left--
	s.cast.Stats.Failures++
	return b.err
}

// fileKind is what a file or directory is.
func fileKind(name string) string {
	base := filepath.Base(name)
	switch {
	case strings.Contains(name, "/store"):
		return "store"
	case strings.Contains(base, "snapshot."):
		return "snapshot"
	case strings.Contains(base, "log."):
		return "log"
	}
	return base
}

// Dead implements [zabtest.Replica], as the methods below.
func (s *Server) Dead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after != nil
}

// CutPower lets the power go.
func (s *Server) CutPower(operations int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = operations + 1
}

// Break lets some operations fail.
func (s *Server) Break(bits uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bits&7 == 0 {
		s.full = 5 + int(bits>>8&31)
		s.disk.SetLimit(s.disk.Used() + int64(bits>>16&0xfff))
		return
	}
	ops := []string{"write", "sync", "sync", "syncdir", "rename", "create", "truncate", "remove"}
	b := &s.broken
	b.op, b.after, b.left, b.err = ops[bits>>3&7], int(bits>>8&3), 1+int(bits>>10&3), syscall.EIO
	if b.op == "write" && bits>>12&1 == 0 {
		b.err = memfs.Short{Err: syscall.EIO}
	}
}

// Heal ends what CutPower and Break have begun.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut, s.full, s.broken.left = 0, 0, 0
	s.disk.SetLimit(0)
}

// Crash is a loss of power. One time in ten another one follows while the server starts.
func (s *Server) Crash() {
	s.mu.Lock()
	left := s.after
	s.mu.Unlock()
	if left == nil {
		left = s.disk.Crash(s.rng)
	}
	old := s.member
	s.member, s.prep = nil, nil
	s.use(left)
	if old != nil {
		_ = old.Close() // on the disk that nobody sees any more
	}
	if s.rng.IntN(10) == 0 {
		s.CutPower(s.rng.IntN(80))
	}
}

// Recover reads what is left.
func (s *Server) Recover() (err error) {
	s.cast.Stats.Starts++
	s.member, err = replica.Open(s.cast.options(s))
	s.countLoad()
	if err == nil && s.member.Raised() {
		err = errors.New("currentEpoch was behind the log: ZooKeeper would not start")
	}
	return err
}

// countLoad notes where the state came from.
func (s *Server) countLoad() {
	if s.member == nil {
		return
	}
	if s.member.FromStore() {
		s.cast.Stats.StoreLoads++
	} else {
		s.cast.Stats.SnapshotLoads++
	}
}

// Wipe takes the disk away.
func (s *Server) Wipe() {
	old := s.member
	s.member, s.prep = nil, nil
	s.use(memfs.New())
	if old != nil {
		_ = old.Close()
	}
}

func (s *Server) close() {
	old := s.member
	s.member = nil
	s.use(memfs.New())
	if old != nil {
		_ = old.Close()
	}
}

func (s *Server) tree() *tree.Tree { return s.member.Tree() }

// Disk is what there is to begin with.
func (s *Server) Disk() zab.Disk { return s.member.Disk() }

// Epochs are the files.
func (s *Server) Epochs() [2]int64 { return s.member.Epochs() }

// Digest is that of the state.
func (s *Server) Digest() int64 { return s.tree().Digest() }

// Zxid is that of the last transaction in the state.
func (s *Server) Zxid() int64 { return s.tree().LastZxid() }

// Append adds records to the log.
func (s *Server) Append(records []zab.Record) error { return s.member.Append(records) }

// Sync makes them durable.
func (s *Server) Sync() error {
	_, err := s.member.Sync()
	return err
}

// PersistEpoch writes an epoch file.
func (s *Server) PersistEpoch(file zab.EpochFile, epoch int64) error {
	return s.member.PersistEpoch(file, epoch)
}

// Truncate cuts the log.
func (s *Server) Truncate(zxid int64) error {
	s.cast.Stats.Truncates++
	err := s.member.Truncate(zxid)
	if errors.Is(err, replica.ErrNotTruncated) {
		return fmt.Errorf("%w: %w", zabtest.ErrRefused, err)
	}
	return err
}

// Install puts a snapshot in the place of everything. Now and then the stream breaks off.
func (s *Server) Install(zxid int64, stream []byte) error {
	s.cast.Stats.Installs++
	if s.rng.IntN(10) == 0 {
		stream = stream[:s.rng.IntN(len(stream))]
	}
	rest, err := s.member.Install(zxid, bytes.NewReader(stream))
	var broken *replica.StreamError
	if errors.As(err, &broken) {
		return fmt.Errorf("%w: %w", zabtest.ErrRefused, err)
	}
	if err == nil && len(rest) > 0 {
		panic("replicatest: a stream was not read to its end")
	}
	return err
}

// Reload reads the disk.
func (s *Server) Reload() error {
	s.cast.Stats.Reloads++
	return s.member.Reload()
}

// ReadLog reads the log. What cannot be read is none.
func (s *Server) ReadLog(from int64, size int) zab.LogRead {
	read, _ := s.member.ReadLog(from, size)()
	return read
}

// Maintain looks after the store and the snapshots. What fails there is tried again another time, unless the log failed.
func (s *Server) Maintain(bits uint64) (err error) {
	switch bits & 3 {
	case 0, 1:
		s.cast.Stats.Checkpoints++
		err = s.member.Checkpoint()
	default:
		s.cast.Stats.Snapshots++
		err = s.member.Snapshot()
		if bits&3 == 3 && err == nil {
			_, err = txnlog.Purge(s.disk, filepath.Join(dataDir, "version-2"), filepath.Join(dataDir, "version-2"), txnlog.MinRetain)
		}
	}
	if errors.Is(err, txnlog.ErrLogFailed) {
		return err
	}
	return nil
}

// Stream is the state for a learner.
func (s *Server) Stream() []byte {
	var b bytes.Buffer
	if err := s.member.WriteStream(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Apply gives a transaction to the state.
func (s *Server) Apply(r *zab.Record) (zabtest.Applied, error) {
	var wrong error
	told := Told{Zxid: r.Zxid, Result: &s.result}
	err := s.member.Apply(r, func(txn *tree.Txn) {
		s.changes = s.tree().Apply(txn, &s.result, s.changes[:0])
		if s.prep != nil && s.prepared == s.tree() {
			s.prep.Applied(txn)
		}
		told.Op = txn.Op()
		digest := s.tree().Digest()
		if txn.HasDigest && txn.Op() != jute.OpError && txn.Digest != digest {
			wrong = fmt.Errorf("the digest after %#x is %d, the transaction has %d", r.Zxid, digest, txn.Digest)
		}
		if s.result.Err != jute.OK && txn.Op() != jute.OpError {
			wrong = fmt.Errorf("transaction %#x, which was prepared, fails with %v", r.Zxid, s.result.Err)
		}
		s.cast.digests[r.Zxid] = digest
	})
	return told, errors.Join(err, wrong)
}

// Prepare makes a transaction.
func (s *Server) Prepare(zxid int64, op jute.Op, session int64, cxid int32, body []byte, known jute.Code) ([]byte, jute.Code) {
	if s.prep == nil || s.prepared != s.tree() {
		s.prepared = s.tree()
		s.prep = s.cast.preparer(s.prepared)
	}
	r := server.Request{Session: session, Cxid: cxid, Op: op, Body: body, IDs: []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	now := time.Unix(1_800_000_000, 0).Add(s.cast.now())
	if known != jute.OK {
		txn := s.prep.Refuse(zxid, now, &r, known)
		return txn.Append(nil), known
	}
	txn := s.prep.Prepare(zxid, now, &r)
	return txn.Append(nil), txn.Err
}

// Forget forgets what was prepared.
func (s *Server) Forget() {
	if s.prep != nil {
		s.prep.Reset()
	}
}

// coldStart starts as a server alone does on what is durable.
func (s *Server) coldStart() error {
	s.cast.Stats.ColdStarts++
	disk := s.disk.Crash(nil)
	o := *s.cast.options(s)
	o.FS, o.StoreFS = disk, disk.VFS()
	st, err := replica.Load(&o, 0)
	if err != nil {
		return fmt.Errorf("a server does not start alone: %w", err)
	}
	if st.Store != nil {
		err = st.Store.Close()
	}
	zxid := st.Tree.LastZxid()
	if digest, ok := s.cast.digests[zxid]; ok && digest != st.Tree.Digest() {
		return fmt.Errorf("alone the server has the digest %d at %#x, in the ensemble it was %d", st.Tree.Digest(), zxid, digest)
	}
	if zxid == s.tree().LastZxid() {
		err = errors.Join(err, sameTree(s.tree(), st.Tree))
	}
	return err
}

// eachRecord calls fn for each record of each log, those that a snapshot has replaced among them.
func (s *Server) eachRecord(fn func(zxid int64, data []byte) error) error {
	logs, err := txnlog.Logs(s.disk, filepath.Join(dataDir, "version-2"))
	if err != nil {
		return err
	}
	for _, f := range logs {
		scan, err := txnlog.ScanLog(s.disk, f.Path, 0)
		if err != nil {
			return err
		}
		_, defect, err := scan.Header()
		for err == nil && defect == txnlog.Whole {
			var r txnlog.Record
			if r, defect, err = scan.Next(); err == nil && defect == txnlog.Whole {
				err = fn(r.Zxid, r.Entry)
			}
		}
		if err := errors.Join(err, scan.Close()); err != nil {
			return err
		}
	}
	return nil
}
