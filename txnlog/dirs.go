package txnlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// ErrDataDir is the error of directories that a server must not start with. ZooKeeper's exit code for it is 3.
var ErrDataDir = errors.New("unusable data directory")

// versionDir is the directory of the files' format, in dataDir and dataLogDir.
const versionDir = "version-2"

// PrepareDirs returns the version-2 directories of dataDir, for snapshots, and of dataLogDir, for logs; an empty dataLogDir is
// dataDir. It makes them if create is set, proves that they can be written to, refuses logs and snapshots in each other's place, and
// removes temporary files that a crash has left. Every error is [ErrDataDir] (FileTxnSnapLog).
func PrepareDirs(fs FS, dataDir, dataLogDir string, create bool) (snapDir, logDir string, err error) {
	snapDir, logDir = versionDirs(dataDir, dataLogDir)
	for _, dir := range slices.Compact([]string{snapDir, logDir}) {
		if err := prepareDir(fs, dir, create); err != nil {
			return "", "", fmt.Errorf("%w %s: %w", ErrDataDir, dir, err)
		}
	}
	return snapDir, logDir, refuseSwapped(fs, snapDir, logDir)
}

// CheckDirs says what [PrepareDirs] would say of directories of the operating system, but makes, writes and removes nothing. Whether they can be written to is asked for the
// user of this process, not for that of the server.
func CheckDirs(dataDir, dataLogDir string, create bool) error {
	snapDir, logDir := versionDirs(dataDir, dataLogDir)
	for _, dir := range slices.Compact([]string{snapDir, logDir}) {
		if err := checkDir(dir, create); err != nil {
			return fmt.Errorf("%w %s: %w", ErrDataDir, dir, err)
		}
	}
	return refuseSwapped(OS, snapDir, logDir)
}

// checkDir is prepareDir for a directory that is only looked at.
func checkDir(dir string, create bool) error {
	for {
		exists, err := OS.IsDir(dir)
		if err != nil {
			return err
		}
		if exists {
			return Writable(dir)
		}
		if !create {
			return errNoDir
		}
		dir = filepath.Dir(dir) // where it would be made
	}
}

// errNoDir is the error of a directory that is not there and must not be made.
var errNoDir = errors.New("it does not exist and zookeeper.datadir.autocreate is false")

// versionDirs are the version-2 directories; an empty dataLogDir is dataDir.
func versionDirs(dataDir, dataLogDir string) (snapDir, logDir string) {
	if dataLogDir == "" {
		dataLogDir = dataDir
	}
	return filepath.Join(dataDir, versionDir), filepath.Join(dataLogDir, versionDir)
}

// refuseSwapped fails if there are logs or snapshots in each other's place.
func refuseSwapped(fs FS, snapDir, logDir string) error {
	if snapDir == logDir {
		return nil
	}
	for _, wrong := range []struct{ dir, prefix, message string }{
		{logDir, snapshotPrefix, "Log directory has snapshot files. Check if dataLogDir and dataDir configuration is correct."},
		{snapDir, logPrefix, "Snapshot directory has log files. Check if dataLogDir and dataDir configuration is correct."},
	} {
		files, err := listFiles(fs, wrong.dir, wrong.prefix)
		if err != nil {
			return fmt.Errorf("%w %s: %w", ErrDataDir, wrong.dir, err)
		}
		if len(files) > 0 {
			return fmt.Errorf("%w %s: %s", ErrDataDir, files[0].path, wrong.message)
		}
	}
	return nil
}

func prepareDir(fs FS, dir string, create bool) error {
	exists, err := fs.IsDir(dir)
	if err != nil {
		return err
	}
	if !exists {
		if !create {
			return errNoDir
		}
		if err := makeDir(fs, dir); err != nil {
			return err
		}
	}
	probe, err := fs.Create(filepath.Join(dir, tempPrefix+"probe"))
	if err != nil {
		return err
	}
	if err := probe.Close(); err != nil {
		return err
	}
	names, err := fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, tempPrefix) {
			if err := fs.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeDir makes a directory and its missing parents durably: each is a name in the one above.
func makeDir(fs FS, dir string) error {
	var above []string // the directories that get a new name
	for made := dir; ; made = filepath.Dir(made) {
		exists, err := fs.IsDir(made)
		if err != nil {
			return err
		}
		if exists {
			break
		}
		above = append(above, filepath.Dir(made))
	}
	if err := fs.MkdirAll(dir); err != nil {
		return err
	}
	for _, dir := range above {
		if err := fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// MinRetain is the least number of snapshots that a purge may leave.
const MinRetain = 3

// Purge removes what the newest snapshots do not need, retain of them or more, and returns the paths of the files removed. Both
// directories are version-2 ones. Of the logs it leaves the one that reaches over the oldest kept snapshot and all later ones. Like
// Java it counts a snapshot if it passes the cheap test of [LoadNewestSnapshot], and removes files such as `snapshot.foo`, whose
// name has no zxid (PurgeTxnLog). Without a snapshot it removes nothing.
func Purge(fs FS, logDir, snapDir string, retain int) (removed []string, err error) {
	if retain < MinRetain {
		return nil, fmt.Errorf("txnlog: count should be greater than or equal to %d, but it is %d", MinRetain, retain)
	}
	kept, err := validSnapshots(fs, snapDir, retain)
	if err != nil || len(kept) == 0 {
		return nil, err
	}
	oldest := kept[len(kept)-1].zxid
	snapshots, err := listFiles(fs, snapDir, snapshotPrefix)
	if err != nil {
		return nil, err
	}
	logs, err := listFiles(fs, logDir, logPrefix)
	if err != nil {
		return nil, err
	}
	reaching := oldest // or the zxid of the newest log that begins at or before the oldest kept snapshot
	for _, file := range logs {
		if file.zxid >= 0 && file.zxid <= oldest {
			reaching = file.zxid
		}
	}
	remove := func(dir string, files []namedFile, from int64) error {
		for _, file := range files {
			if file.zxid >= from {
				break
			}
			if err := fs.Remove(file.path); err != nil {
				return err
			}
			removed = append(removed, file.path)
			if err := fs.SyncDir(dir); err != nil {
				return err
			}
		}
		return nil
	}
	// Snapshots first, lest one is left without its logs. Each removal is durable before the next one: a loss of power must not leave older logs and take
	// later ones, for who reads the log for others would not see that transactions are missing when an epoch begins behind the hole.
	if err := remove(snapDir, snapshots, oldest); err != nil {
		return removed, err
	}
	return removed, remove(logDir, logs, reaching)
}
