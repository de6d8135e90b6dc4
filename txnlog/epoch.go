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
// initial history it has. CurrentEpochStaged is read instead of CurrentEpoch when a crash came between a snapshot and the epoch that it needs.
const (
	AcceptedEpoch      = "acceptedEpoch"
	CurrentEpoch       = "currentEpoch"
	CurrentEpochStaged = CurrentEpoch + epochTemp
)

// epochTemp is the suffix under which Java writes such a file (AtomicFileOutputStream).
const epochTemp = ".tmp"

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

// WriteEpoch writes an epoch file durably: under a temporary name first, which is [CurrentEpochStaged] for [CurrentEpoch].
func WriteEpoch(fs FS, dir, name string, epoch int64) error {
	if err := StageEpoch(fs, dir, name, epoch); err != nil {
		return err
	}
	return PlaceEpoch(fs, dir, name)
}

// StageEpoch makes an epoch file durable under its temporary name.
func StageEpoch(fs FS, dir, name string, epoch int64) error {
	f, err := fs.Create(filepath.Join(dir, name+epochTemp))
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(strconv.AppendInt(nil, epoch, 10), 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// PlaceEpoch gives an epoch file that [StageEpoch] has made its name, durably.
func PlaceEpoch(fs FS, dir, name string) error {
	if err := fs.Rename(filepath.Join(dir, name+epochTemp), filepath.Join(dir, name)); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}
