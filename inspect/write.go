package inspect

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"quoll/replica"
	"quoll/tree"
	"quoll/txnlog"
)

// LoadState makes the tree that a server would start with from the newest good snapshot of one version-2 directory and the logs of another,
// and changes neither. What a server would refuse is an error.
func LoadState(snapDir, logDir string, o Options) (*tree.Tree, error) {
	var loader *tree.Loader
	snap, found, err := txnlog.LoadNewestSnapshot(o.fs(), snapDir, o.Limit, func() txnlog.SnapshotSink {
		loader = tree.NewLoader(false)
		return loader
	})
	if err != nil {
		return nil, err
	}
	t := tree.New()
	if found {
		if t, err = loader.Finish(); err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", snap.File, err)
		}
		t.SetLastZxid(snap.Zxid)
	}
	var result tree.Result
	var changes []tree.Change
	read, err := txnlog.ReplayLogs(o.fs(), logDir, t.LastZxid(), found, o.Limit, func(rec txnlog.Record) error {
		txn, err := tree.DecodeTxn(rec.Entry)
		if err == nil {
			changes = t.Apply(&txn, &result, changes[:0])
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !found && read.Records > 0:
		return nil, fmt.Errorf("%s has no snapshot, but there are logs; put back the snapshot that belongs to %s", snapDir, read.Files[0])
	case !found:
		return nil, fmt.Errorf("%s has no snapshot", snapDir)
	}
	return t, nil
}

// WriteState writes a tree that does not change as the snapshot of its last transaction, and returns file and size. With to it is that file, in
// the compression of its suffix; without, the one that a server would name so in the version-2 directory dir.
func WriteState(t *tree.Tree, dir, to string, c txnlog.Compression, o Options) (file string, size int64, err error) {
	if to == "" {
		return txnlog.WriteSnapshot(o.fs(), dir, t.LastZxid(), c, sourceOf(t))
	}
	// In a directory of its own first, because it would replace a file of the usual name beside to.
	temp, err := os.MkdirTemp(filepath.Dir(to), "quoll-tmp.snapshot.")
	if err != nil {
		return "", 0, err
	}
	file, size, err = txnlog.WriteSnapshot(o.fs(), temp, t.LastZxid(), txnlog.SnapshotCompression(to), sourceOf(t))
	if err == nil {
		err = errors.Join(os.Rename(file, to), o.fs().SyncDir(filepath.Dir(to)))
	}
	return to, size, errors.Join(err, os.RemoveAll(temp))
}

func sourceOf(t *tree.Tree) txnlog.SnapshotSource {
	src := replica.WholeTree(t)
	src.Ours = true
	src.Digest = func() txnlog.SnapshotDigest { return txnlog.SnapshotDigest{Zxid: t.LastZxid(), Digest: t.Digest()} }
	src.LastZxid = t.LastZxid
	return src
}
