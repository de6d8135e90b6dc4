package replica

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"

	"quoll/adler32"
	"quoll/ensemble"
	"quoll/jute"
	"quoll/store"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/zab"
)

// keepRecords is how many of the last records of the log a start keeps for learners.
const keepRecords = 500

var (
	// ErrEpoch is the error of epoch files that do not fit each other or the log.
	ErrEpoch = errors.New("the epoch files are not right")
	// ErrNotTruncated is the error of a truncation that what is on the disk does not allow. The disk is as before.
	ErrNotTruncated = errors.New("the history cannot be truncated")
)

// Member is the durable side of a server of an ensemble, with its state in memory. It carries out the disk effects of package zab, one at a time: what an error
// means is said at each, and after one that leaves open what is on the disk only Reload is of use.
type Member struct {
	o      *Options
	state  *State
	log    *txnlog.Log
	last   int64 // zxid of the last record appended, or of the snapshot before it
	reader *logReader
	epochs [2]int64
	// untrusted is zab.Disk.Untrusted. bare says that there is no snapshot, and that one is needed before the first record. raised is Raised.
	untrusted, bare, raised bool
}

// Open loads the directory of a server of an ensemble.
func Open(o *Options) (*Member, error) {
	m := &Member{o: lying(o)}
	if err := m.load(); err != nil {
		return nil, err
	}
	return m, nil
}

// FromStore reports whether the store has what is in memory, but for what has changed since; after a load, that the state came from it.
func (m *Member) FromStore() bool { return m.state.Whole }

// Dirs are the version-2 directories of snapshots and logs.
func (m *Member) Dirs() (snap, log string) { return m.state.SnapDir, m.state.LogDir }

// TakeStore gives the store away, which may be nil: Checkpoint, Snapshot and Close do not touch it any more. whole says that it has what is in memory, and mark is the
// checksum of the last record (see State).
func (m *Member) TakeStore() (s *store.Store, whole bool, mark uint32) {
	s, m.state.Store = m.state.Store, nil
	return s, m.state.Whole, m.state.Mark
}

// OwnSnapshot reports whether the newest snapshot was one of this program's at the last load.
func (m *Member) OwnSnapshot() bool { return m.state.Newest.Ours }

// Raised reports whether the last load found currentEpoch behind the log and raised it. ZooKeeper does not start on that; a server of this program never leaves it behind.
func (m *Member) Raised() bool { return m.raised }

// Bare reports whether there is no snapshot, so that the next Append makes one of the tree, which must not change meanwhile.
func (m *Member) Bare() bool { return m.bare }

// Roll makes the log go on in a new file.
func (m *Member) Roll() { m.log.Roll() }

// Tree is the state in memory. It is another one after Truncate, Install and Reload.
func (m *Member) Tree() *tree.Tree { return m.state.Tree }

// Epochs are the values of the epoch files, by zab.EpochFile.
func (m *Member) Epochs() [2]int64 { return m.epochs }

// Disk is what zab needs to know of the disk. Recent are the records of the last load, if they are still the last. The tree must not change meanwhile: it has the config.
func (m *Member) Disk() zab.Disk {
	d := zab.Disk{Zxid: m.last, Untrusted: m.untrusted, AcceptedEpoch: m.epochs[zab.AcceptedEpoch], CurrentEpoch: m.epochs[zab.CurrentEpoch]}
	if n := m.state.Tree.Lookup(tree.ConfigPath); n != nil {
		if c, err := ensemble.Parse(jute.JavaText(n.Data())); err == nil {
			d.Config = c
		}
	}
	for _, r := range m.state.Recent {
		before := r.Zxid - 1
		if n := len(d.Recent); n > 0 {
			before = d.Recent[n-1].Zxid
		}
		if !zab.Follows(before, r.Zxid) { // as a server alone counts at the end of an epoch, or as Java repeats itself
			d.Recent = d.Recent[:0]
			continue
		}
		record, _ := zab.RecordOf(r.Zxid, r.Entry)
		d.Recent = append(d.Recent, record)
	}
	if n := len(d.Recent); n > 0 && d.Recent[n-1].Zxid != d.Zxid {
		d.Recent = nil // more was appended since
	}
	return d
}

// load makes everything from the disk.
func (m *Member) load() (err error) {
	if m.state, err = Load(m.o, keepRecords); err != nil {
		return err
	}
	if err = m.settle(); err != nil {
		m.abandon()
	}
	return err
}

// settle makes what was loaded that of a member: what a crash has left half done is finished, and the files that must exist are written.
func (m *Member) settle() error {
	st := m.state
	m.last = st.Tree.LastZxid()
	// The names in it are read; they must not be lost any more.
	if err := m.o.FS.SyncDir(st.SnapDir); err != nil {
		return err
	}
	if err := m.loadEpochs(); err != nil {
		return err
	}
	if err := m.trust(); err != nil {
		return err
	}
	m.log, m.reader = NewLog(m.o, st.LogDir, nil), m.newLogReader(0)
	return nil
}

// loadEpochs reads the epoch files by the rules of docs/spec/storage-format.md, section 8.2.
func (m *Member) loadEpochs() error {
	fs, dir := m.o.FS, m.state.SnapDir
	last := m.last >> 32
	m.raised = false
	for file := range m.epochs {
		name := epochNames[file]
		epoch, ok, err := txnlog.ReadEpoch(fs, dir, name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrEpoch, err)
		}
		if !ok {
			epoch = last
			if err := txnlog.WriteEpoch(fs, dir, name, epoch); err != nil {
				return err
			}
		}
		m.epochs[file] = epoch
	}
	if last > m.epochs[zab.CurrentEpoch] {
		epoch, ok, err := txnlog.ReadEpoch(fs, dir, txnlog.CurrentEpochStaged)
		if err != nil || !ok || epoch < last {
			// A learner of ZooKeeper logs what it is sent before NEWLEADER, and writes the epoch behind it (ZOOKEEPER-4643). A record of an epoch has its initial history before it.
			if epoch = last; m.epochs[zab.AcceptedEpoch] < epoch {
				return fmt.Errorf("%w: the current epoch, %d, is older than the last zxid, %s, and so is the accepted epoch, %d", ErrEpoch, m.epochs[zab.CurrentEpoch], hex(m.last), m.epochs[zab.AcceptedEpoch])
			}
			m.raised = true
			m.o.Logger.Warn("currentEpoch is raised to the epoch of the log, which was ahead of it: a server ended between the two", "was", m.epochs[zab.CurrentEpoch], "zxid", hex(m.last))
		}
		if err := m.writeEpoch(zab.CurrentEpoch, epoch); err != nil {
			return err
		}
	}
	if err := txnlog.UnstageEpoch(fs, dir); err != nil {
		return err
	}
	if m.epochs[zab.AcceptedEpoch] < m.epochs[zab.CurrentEpoch] {
		return fmt.Errorf("%w: the accepted epoch, %d, is less than the current epoch, %d", ErrEpoch, m.epochs[zab.AcceptedEpoch], m.epochs[zab.CurrentEpoch])
	}
	return nil
}

// epochNames are the names of the files, in the order of zab.EpochFile.
var epochNames = [2]string{zab.AcceptedEpoch: txnlog.AcceptedEpoch, zab.CurrentEpoch: txnlog.CurrentEpoch}

func (m *Member) writeEpoch(file zab.EpochFile, epoch int64) error {
	if err := txnlog.WriteEpoch(m.o.FS, m.state.SnapDir, epochNames[file], epoch); err != nil {
		return err
	}
	m.epochs[file] = epoch
	return nil
}

// trust finds out whether the server may vote with what it has, and makes the first snapshot if it may.
func (m *Member) trust() error {
	fs, st := m.o.FS, m.state
	initialize := filepath.Join(filepath.Dir(st.LogDir), "initialize")
	intended, err := exists(fs, initialize)
	if err != nil {
		return err
	}
	m.bare, m.untrusted = !st.Found, false
	if m.bare && m.last == 0 && !intended && !m.o.DBAutocreate {
		m.untrusted = true
		if mutant(trustForgotten) {
			return nil
		}
		return m.mark()
	}
	if m.untrusted, err = exists(fs, m.markPath()); err != nil {
		return err
	}
	if m.bare && m.last == 0 {
		if err := m.unmark(); err != nil {
			return err
		}
	}
	if err := m.firstSnapshot(); err != nil || !intended {
		return err
	}
	if err := fs.Remove(initialize); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(initialize))
}

// markPath is the file that says that the server came up with an empty disk and no epoch has sealed what it got since.
func (m *Member) markPath() string { return filepath.Join(m.o.DataDir, "quoll", "untrusted") }

func (m *Member) mark() error {
	dir := filepath.Dir(m.markPath())
	if err := m.o.FS.MkdirAll(dir); err != nil {
		return err
	}
	if err := m.o.FS.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	f, err := m.o.FS.Create(m.markPath())
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), m.o.FS.SyncDir(dir))
}

func (m *Member) unmark() error {
	m.untrusted = false
	if err := m.o.FS.Remove(m.markPath()); errors.Is(err, iofs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return m.o.FS.SyncDir(filepath.Dir(m.markPath()))
}

func exists(fs txnlog.FS, name string) (bool, error) {
	f, err := fs.Open(name)
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

// firstSnapshot writes a snapshot if there is none: ZooKeeper does not start on a log alone.
func (m *Member) firstSnapshot() error {
	if !m.bare || mutant(bareLog) {
		return nil
	}
	t := m.state.Tree
	if _, _, err := WriteSnapshot(m.o, m.state.SnapDir, WholeTree(t), t.LastZxid(), t.Digest()); err != nil {
		return err
	}
	m.bare = false
	return nil
}

// Close ends the use of the directory. What was appended is durable if there is no error.
func (m *Member) Close() error {
	if m.log == nil {
		return nil // a Reload has failed
	}
	err := m.log.Close()
	if m.state.Store != nil {
		err = errors.Join(err, m.state.Store.Close())
	}
	return err
}

// abandon is Close when nobody knows what is on the disk.
func (m *Member) abandon() {
	if m.log != nil {
		_ = m.log.Close()
	}
	if m.state != nil && m.state.Store != nil {
		_ = m.state.Store.Close()
	}
	m.log, m.state = nil, nil
}

// Append adds records to the log's batch, which Sync writes. An error leaves open what is on the disk.
func (m *Member) Append(records []zab.Record) error {
	if err := m.firstSnapshot(); err != nil {
		return err
	}
	for i := range records {
		r := &records[i]
		if epoch := r.Zxid >> 32; epoch > m.epochs[zab.CurrentEpoch] && !mutant(epochRaisedLate) {
			if err := m.enter(epoch); err != nil {
				return err
			}
		}
		m.log.Append(r.Zxid, r.Data)
		m.last = r.Zxid
	}
	return nil
}

// enter raises currentEpoch before the first record of an epoch, which must have been accepted.
func (m *Member) enter(epoch int64) error {
	if accepted := m.epochs[zab.AcceptedEpoch]; epoch > accepted {
		return fmt.Errorf("%w: a record of epoch %d, the accepted epoch is %d", ErrEpoch, epoch, accepted)
	}
	if !mutant(epochRaisedEarly) {
		if err := m.log.Sync(); err != nil {
			return err
		}
	}
	return m.writeEpoch(zab.CurrentEpoch, epoch)
}

// Sync makes what was appended durable, and returns the last zxid. An error leaves open what is on the disk.
func (m *Member) Sync() (zxid int64, err error) {
	if err := m.log.Sync(); err != nil && !mutant(failureForgotten) {
		return 0, err
	}
	return m.last, nil
}

// PersistEpoch writes an epoch file, after what was appended before. An error leaves open what is on the disk.
func (m *Member) PersistEpoch(file zab.EpochFile, epoch int64) error {
	if file == zab.AcceptedEpoch {
		return m.writeEpoch(file, epoch)
	}
	if err := m.log.Sync(); err != nil {
		return err
	}
	if err := m.writeEpoch(file, epoch); err != nil || !m.untrusted {
		return err
	}
	return m.unmark()
}

// Apply decodes a committed transaction and hands it to apply, which gives it to the tree.
func (m *Member) Apply(r *zab.Record, apply func(*tree.Txn)) error {
	txn, err := tree.DecodeTxn(r.Data)
	if err != nil {
		return err
	}
	apply(&txn)
	m.state.Mark = adler32.Checksum(r.Data)
	return nil
}

// Reload forgets what is in memory and what was appended and not synced, and reads the disk, not its cache. After an error it is to be tried again.
func (m *Member) Reload() error {
	m.abandon()
	return m.load()
}

// Checkpoint brings the store up to date. The log is synced first, lest the store be ahead of it; the error of that leaves open what is on the disk and is a
// [txnlog.ErrLogFailed]. Any other error says that the store stays behind.
func (m *Member) Checkpoint() error {
	if err := m.log.Sync(); err != nil {
		return err
	}
	st := m.state
	if st.Store == nil || st.Store.Err() != nil {
		if err := m.reopenStore(); err != nil {
			return err
		}
	}
	full := !st.Whole
	if _, ok := st.Store.State(); !ok {
		full = true
	}
	c := st.Tree.Cut(full)
	defer c.Close()
	m.log.Roll()
	err := WriteStore(st.Store, c, st.Mark, func(fn func(*tree.Tree)) { fn(st.Tree) }, func(int) error { return nil })
	st.Whole = err == nil
	return err
}

// reopenStore opens the store anew. What it has is not looked at: all is written to it.
func (m *Member) reopenStore() (err error) {
	st := m.state
	if st.Store != nil {
		_ = st.Store.Close()
	}
	st.Whole = false
	st.Store, err = OpenStore(m.o.StoreOptions())
	return err
}

// Snapshot writes one of ZooKeeper's snapshots, from the store, after a checkpoint. Errors are those of Checkpoint.
func (m *Member) Snapshot() error {
	if err := m.Checkpoint(); err != nil {
		return err
	}
	view, err := m.state.Store.View()
	if err != nil {
		return err
	}
	src, err := StoreSource(view, func(int) error { return nil })
	if err == nil {
		_, _, err = WriteSnapshot(m.o, m.state.SnapDir, src, view.State().Zxid, view.State().Digest)
	}
	return errors.Join(err, view.Close())
}
