package txnlog

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// The epoch files of an ensemble's server, in the version-2 directory of the snapshots: the highest epoch that it has promised to follow, and the epoch whose
// initial history it has. CurrentEpochStaged counts instead of CurrentEpoch when that is less than the last zxid's (QuorumPeer.loadDataBase): it is there while
// a snapshot of a later epoch gets its name.
const (
	AcceptedEpoch      = "acceptedEpoch"
	CurrentEpoch       = "currentEpoch"
	CurrentEpochStaged = "currentEpoch.tmp"
)

// ReadEpoch reads an epoch file in dir; without one ok is false. The error is that of a file that is not a number.
func ReadEpoch(fs FS, dir, name string) (epoch int64, ok bool, err error) {
	f, err := fs.Open(filepath.Join(dir, name))
	if errors.Is(err, iofs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return 0, false, err
	}
	b := make([]byte, min(size, 64))
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return 0, false, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if epoch, err = strconv.ParseInt(strings.TrimSuffix(line, "\r"), 10, 64); err != nil {
		return 0, false, fmt.Errorf("found %q in %s", b, filepath.Join(dir, name))
	}
	return epoch, true, nil
}

// WriteEpoch writes an epoch file durably, in place of the one that is there. It does not touch [CurrentEpochStaged], so that there is always one of the two, even
// where a rename is not atomic.
func WriteEpoch(fs FS, dir, name string, epoch int64) error {
	temp := filepath.Join(dir, tempPrefix+name)
	if err := writeEpoch(fs, temp, epoch); err != nil {
		return err
	}
	if err := fs.Rename(temp, filepath.Join(dir, name)); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// StageEpoch makes [CurrentEpochStaged] durable.
func StageEpoch(fs FS, dir string, epoch int64) error {
	if err := writeEpoch(fs, filepath.Join(dir, CurrentEpochStaged), epoch); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// UnstageEpoch removes [CurrentEpochStaged] durably, if it is there.
func UnstageEpoch(fs FS, dir string) error {
	if err := fs.Remove(filepath.Join(dir, CurrentEpochStaged)); errors.Is(err, iofs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

func writeEpoch(fs FS, name string, epoch int64) error {
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(strconv.AppendInt(nil, epoch, 10), 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
