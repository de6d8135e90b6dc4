package backup

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"quoll/txnlog"
)

// ErrNoBackup is the error of a directory without a manifest.
var ErrNoBackup = errors.New("no backup")

const (
	manifestName    = "manifest.json"
	manifestVersion = 1
	maxManifest     = 256 << 20

	versionDir = "version-2" // of ZooKeeper's files, in a data directory as in a backup
	memberDir  = "member"
	configDir  = "config"

	// tempPrefix marks files that are not complete; no server reads a name that begins so.
	tempPrefix = "quoll-tmp."
)

// Zxid is a transaction's number, in text as 0x and hexadecimal digits.
type Zxid int64

func (z Zxid) String() string { return fmt.Sprintf("0x%x", int64(z)) }

// MarshalText writes 0x and hexadecimal digits.
func (z Zxid) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// UnmarshalText reads hexadecimal digits behind 0x, or a decimal number.
func (z *Zxid) UnmarshalText(b []byte) error {
	n, err := strconv.ParseInt(string(b), 0, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no zxid; write 0x1a for hexadecimal digits or 26 for decimal ones", b)
	}
	*z = Zxid(n)
	return nil
}

// next reports whether no transaction is missing between z and n.
func (z Zxid) next(n Zxid) bool { return txnlog.Follows(int64(n), int64(z)) }

// Time is a transaction's wall clock in milliseconds since 1970, in text as RFC 3339.
type Time int64

func (t Time) String() string {
	return time.UnixMilli(int64(t)).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// MarshalText writes RFC 3339 with milliseconds, in UTC.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads RFC 3339.
func (t *Time) UnmarshalText(b []byte) error {
	at, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return fmt.Errorf("%q is no time; write it as 2006-01-02T15:04:05Z", b)
	}
	*t = Time(at.UnixMilli())
	return nil
}

// Checksum is a CRC-32C, in text as 8 hexadecimal digits.
type Checksum uint32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (c Checksum) update(p []byte) Checksum { return Checksum(crc32.Update(uint32(c), castagnoli, p)) }

// MarshalText writes 8 hexadecimal digits.
func (c Checksum) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%08x", uint32(c)), nil }

// UnmarshalText reads hexadecimal digits.
func (c *Checksum) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 16, 32)
	*c = Checksum(n)
	return err
}

// File is one file of a backup.
type File struct {
	// Name is what the server called it, without directories.
	Name string `json:"name"`
	// Stored is its path in the backup, with slashes. It differs from Name in the last part if the server wrote several of that name.
	Stored string   `json:"stored"`
	Size   int64    `json:"size"`
	CRC32C Checksum `json:"crc32c"`
}

func (f *File) path(dir string) string { return filepath.Join(dir, filepath.FromSlash(f.Stored)) }

// Snapshot is a snapshot of a backup.
type Snapshot struct {
	File
	// Zxid is the one in its name: every transaction up to it is in the tree.
	Zxid Zxid `json:"zxid"`
	// Through is the last transaction of which anything is in the tree: the snapshot serves targets from there on.
	Through Zxid `json:"through"`
	// Znodes counts the znodes, the root once.
	Znodes int `json:"znodes"`
	// Digest is that of the tree at DigestZxid, as the snapshot says it; nil if it does not.
	Digest     *int64 `json:"digest,string,omitempty"`
	DigestZxid Zxid   `json:"digestZxid,omitempty"`
}

// Log is a segment of the transaction log: its whole records, without padding.
type Log struct {
	File
	First   Zxid  `json:"first"`
	Last    Zxid  `json:"last"` // the highest one
	Records int64 `json:"records"`
	// FirstTime and LastTime are those of the first and the last record, Earliest and Latest the ends of what lies between: clocks step.
	FirstTime Time `json:"firstTime"`
	LastTime  Time `json:"lastTime"`
	Earliest  Time `json:"earliest"`
	Latest    Time `json:"latest"`
	// Digest is that of the tree after the last record; nil if the log does not say it.
	Digest *int64 `json:"digest,string,omitempty"`
	// LastRecord is the offset of the last record.
	LastRecord int64 `json:"lastRecord"`
	// Closed tells that the server has gone on in another file.
	Closed bool `json:"closed"`
	// Gaps are places within the file where transactions are missing, as when a member went on from its leader's snapshot.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Gap is a place in the history of which there are no records: those between After and Before, both of which there are.
type Gap struct {
	After  Zxid `json:"after"`
	Before Zxid `json:"before"`
}

// Manifest says what a backup consists of.
type Manifest struct {
	Version int `json:"version"` // of this format, 1
	// Source is the data directory that was copied, for people.
	Source string `json:"source"`
	// Updated is when the last pass ended, by the clock of the machine that made it.
	Updated   time.Time  `json:"updated"`
	Snapshots []Snapshot `json:"snapshots"` // by zxid
	Logs      []Log      `json:"logs"`      // by zxid
	// Files are myid, the epochs and the dynamic configuration.
	Files []File `json:"files,omitempty"`
}

// End is the last transaction that the backup has.
func (m *Manifest) End() Zxid {
	var end Zxid
	for _, s := range m.Snapshots {
		end = max(end, s.Zxid)
	}
	for _, l := range m.Logs {
		end = max(end, l.Last)
	}
	return end
}

// Range is a part of the history to each transaction of which the backup can be restored.
type Range struct{ From, To Zxid }

// Ranges returns what can be restored, oldest first.
func (m *Manifest) Ranges() []Range {
	var ranges []Range
	for i := range m.Snapshots {
		s := &m.Snapshots[i]
		r := Range{s.Through, m.reach(s)}
		switch last := len(ranges) - 1; {
		case r.To < r.From:
		case last >= 0 && r.From <= ranges[last].To+1:
			ranges[last].To = max(ranges[last].To, r.To)
		default:
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// reach returns the last transaction to which the logs lead from a snapshot without a gap.
func (m *Manifest) reach(s *Snapshot) Zxid {
	to, _ := m.follow(s.Zxid)
	return to
}

// follow returns how far the logs lead from a transaction on, and the gap at which that ends; nil if it is the end of the logs.
func (m *Manifest) follow(from Zxid) (Zxid, *Gap) {
	at := from
	for i := range m.Logs {
		l := &m.Logs[i]
		first := l.First
		for _, gap := range append(slices.Clip(l.Gaps), Gap{After: l.Last}) { // the ends of the file's parts without a gap
			if gap.After > at {
				if !at.next(first) {
					return at, &Gap{at, first}
				}
				at = gap.After
			}
			first = gap.Before
		}
	}
	return at, nil
}

// sort puts the files into the order of their zxids.
func (m *Manifest) sort() {
	slices.SortFunc(m.Snapshots, func(a, b Snapshot) int { return cmp.Or(cmp.Compare(a.Zxid, b.Zxid), strings.Compare(a.Name, b.Name)) })
	slices.SortFunc(m.Logs, func(a, b Log) int { return cmp.Or(cmp.Compare(a.First, b.First), strings.Compare(a.Name, b.Name)) })
}

func (m *Manifest) log(name string) *Log {
	for i := range m.Logs {
		if m.Logs[i].Name == name {
			return &m.Logs[i]
		}
	}
	return nil
}

func (m *Manifest) snapshot(name string) *Snapshot {
	for i := range m.Snapshots {
		if m.Snapshots[i].Name == name {
			return &m.Snapshots[i]
		}
	}
	return nil
}

func (m *Manifest) file(stored string) *File {
	for i := range m.Files {
		if m.Files[i].Stored == stored {
			return &m.Files[i]
		}
	}
	return nil
}

// Load reads the manifest of a backup; a nil file system is that of the operating system. The error is [ErrNoBackup] if there is none.
func Load(fsys txnlog.FS, dir string) (*Manifest, error) {
	b, err := readSmall(or(fsys), filepath.Join(dir, manifestName), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w here: there is no %s", dir, ErrNoBackup, manifestName)
	} else if err != nil {
		return nil, err
	}
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifestName), err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%s: version %d of the manifest is unknown; this program knows version %d", filepath.Join(dir, manifestName), m.Version, manifestVersion)
	}
	for _, f := range m.all() {
		if !filepath.IsLocal(filepath.FromSlash(f.Stored)) || f.Name != filepath.Base(f.Name) || f.Size < 0 {
			return nil, fmt.Errorf("%s: %q stored as %q with %d bytes is no file of a backup", filepath.Join(dir, manifestName), f.Name, f.Stored, f.Size)
		}
	}
	m.sort()
	return m, nil
}

// all returns every file of the backup.
func (m *Manifest) all() []*File {
	var all []*File
	for i := range m.Snapshots {
		all = append(all, &m.Snapshots[i].File)
	}
	for i := range m.Logs {
		all = append(all, &m.Logs[i].File)
	}
	for i := range m.Files {
		all = append(all, &m.Files[i])
	}
	return all
}

func (m *Manifest) save(fsys txnlog.FS, dir string) error {
	m.sort()
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return writeSmall(fsys, filepath.Join(dir, manifestName), append(b, '\n'))
}

// or is the file system to use for an option that may be nil.
func or(fsys txnlog.FS) txnlog.FS {
	if fsys == nil {
		return txnlog.OS
	}
	return fsys
}

// readSmall reads a file of up to limit bytes.
func readSmall(fsys txnlog.FS, path string, limit int64) (b []byte, err error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes are more than such a file has", path, size)
	}
	b = make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if int64(n) == size {
		err = nil
	}
	return b[:n], err
}

// writeSmall writes a file in one step: a crash leaves the old one or the new one.
func writeSmall(fsys txnlog.FS, path string, content []byte) error {
	dir, name := filepath.Split(path)
	temp := filepath.Join(dir, tempPrefix+name)
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, fsys.Remove(temp))
	}
	return fsys.SyncDir(filepath.Dir(path))
}
