//go:build mutants

package replica

import (
	"path/filepath"
	"strings"

	"quoll/txnlog"
)

// Mutant is a planted fault.
type Mutant struct {
	// Name is that of the constant in fault.go, Sentence says what goes wrong.
	Name, Sentence string
	fault          fault
}

// faultTable has a row for each fault.
var faultTable = []Mutant{
	{"recordsNotSynced", "the log is written and not synced", recordsNotSynced},
	{"epochNotSynced", "an epoch file is named before it is synced", epochNotSynced},
	{"directoriesNotSynced", "names of files are not synced (spec 4.9, directory entry)", directoriesNotSynced},
	{"installNotSynced", "a leader's snapshot is named before it is synced (ZOOKEEPER-3642)", installNotSynced},
	{"truncNotSynced", "TRUNC does not sync the log that it has cut (spec 4.9)", truncNotSynced},
	{"cacheKept", "Reload reads what is in the page cache and not on the disk", cacheKept},
	{"failureForgotten", "a failed sync is taken for a good one", failureForgotten},
	{"epochRaisedEarly", "currentEpoch is raised before the history in front of the epoch is synced (ZOOKEEPER-4643)", epochRaisedEarly},
	{"epochRaisedLate", "currentEpoch is not raised before records of a later epoch are logged", epochRaisedLate},
	{"epochNotStaged", "a snapshot of a later epoch gets its name without currentEpoch.tmp", epochNotStaged},
	{"epochPlacedEarly", "currentEpoch is raised before the snapshot of its epoch has its name", epochPlacedEarly},
	{"installKeepsTail", "a snapshot is installed below a log that goes on behind it", installKeepsTail},
	{"installLosesLogFirst", "the log is removed before the snapshot that replaces it has its name", installLosesLogFirst},
	{"installKeepsLaterSnapshots", "a snapshot is installed below a later one of another history", installKeepsLaterSnapshots},
	{"truncKeepsSnapshots", "TRUNC leaves snapshots of what it has cut", truncKeepsSnapshots},
	{"storeUnchecked", "the store is used although it is ahead of the cut, or of another history", storeUnchecked},
	{"trustForgotten", "a server that lost its disk forgets that with the next start", trustForgotten},
	{"bareLog", "a log is begun without any snapshot", bareLog},
	{"streamWithoutSessions", "a leader's snapshot has no sessions", streamWithoutSessions},
}

// planted is the fault that is on.
var planted fault

func mutant(f fault) bool { return f == planted }

// Mutants returns all planted faults.
func Mutants() []Mutant { return append([]Mutant(nil), faultTable...) }

// Plant turns one fault on, for all members of the process that are opened from then on, and any other off; "" turns all off. It reports whether there is a fault
// of that name.
func Plant(name string) bool {
	planted = 0
	for _, m := range faultTable {
		if m.Name == name {
			planted = m.fault
		}
	}
	return planted != 0 || name == ""
}

// lying returns the options with a file system that does what a planted fault says.
func lying(o *Options) *Options {
	switch planted {
	case recordsNotSynced, epochNotSynced, directoriesNotSynced, installNotSynced, truncNotSynced, cacheKept:
		l := *o
		l.FS = lyingFS{o.FS}
		return &l
	}
	return o
}

// lyingFS leaves out what a planted fault says.
type lyingFS struct{ txnlog.FS }

func (f lyingFS) SyncDir(dir string) error {
	if planted == directoriesNotSynced {
		return nil
	}
	return f.FS.SyncDir(dir)
}

func (f lyingFS) wrap(name string, file txnlog.File, err error) (txnlog.File, error) {
	if err != nil {
		return nil, err
	}
	return lyingFile{file, strings.TrimPrefix(filepath.Base(name), "quoll-tmp.")}, nil
}

func (f lyingFS) Create(name string) (txnlog.File, error) {
	file, err := f.FS.Create(name)
	return f.wrap(name, file, err)
}

func (f lyingFS) Open(name string) (txnlog.File, error) {
	file, err := f.FS.Open(name)
	return f.wrap(name, file, err)
}

func (f lyingFS) OpenWrite(name string) (txnlog.File, error) {
	file, err := f.FS.OpenWrite(name)
	if planted == truncNotSynced && strings.HasPrefix(filepath.Base(name), "log.") && err == nil {
		return lyingFile{file, "cut"}, nil
	}
	return f.wrap(name, file, err)
}

// lyingFile has no DropCache, so that nobody can drop its cache, but for where that is not the fault.
type lyingFile struct {
	txnlog.File
	name string
}

func (f lyingFile) Sync() error {
	switch {
	case planted == recordsNotSynced && strings.HasPrefix(f.name, "log."),
		planted == epochNotSynced && strings.Contains(f.name, "Epoch"),
		planted == installNotSynced && strings.Contains(f.name, "snapshot."),
		planted == truncNotSynced && f.name == "cut":
		return nil
	}
	return f.File.Sync()
}

// DropCache implements [txnlog.CacheDropper].
func (f lyingFile) DropCache() error {
	if d, ok := f.File.(txnlog.CacheDropper); ok && planted != cacheKept {
		return d.DropCache()
	}
	return nil
}
