package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quoll/config/properties"
	"quoll/ensemble"
)

// Dynamic keeps what the configuration files say of the membership: <zoo.cfg>.dynamic.<version> holds the config in force and zoo.cfg points to it,
// <zoo.cfg>.dynamic.next holds one that is proposed. The files are those of Apache ZooKeeper 3.9.5, in its places and to the byte, and [Load] reads them
// back, whenever the machine stops. It mirrors what QuorumPeer.setQuorumVerifier and setLastSeenQuorumVerifier do on disk.
//
// The nil Dynamic writes nothing. The methods are for one goroutine at a time.
type Dynamic struct {
	fs     FileSystem
	file   string // path of zoo.cfg
	sid    int64
	active int64 // version of the config that zoo.cfg has or points to
}

// FileSystem is what a [Dynamic] needs of a file system. Names are paths, and a missing file is an error that is [fs.ErrNotExist].
type FileSystem interface {
	ReadFile(name string) ([]byte, error)
	// WriteFile makes a file, in place of any that exists, whose content is durable when it returns. It gets the permissions of the file like, if there is one.
	WriteFile(name string, data []byte, like string) error
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
	// Canonical returns the absolute path of an existing file without symbolic links.
	Canonical(name string) (string, error)
}

// Files is the file system of the operating system.
var Files FileSystem = files{}

// NewDynamic returns what keeps the files of a member of an ensemble, and makes a copy of a zoo.cfg that has server lines and so will be rewritten,
// <zoo.cfg>.bak. It returns nil where nothing is to be written: for a standalone server, without reconfigEnabled, without a zoo.cfg, and if the membership
// was set outside of the files, which no file could change. The error is an [*Error]: ZooKeeper takes a copy that cannot be made for a configuration that is wrong.
func NewDynamic(c *Config, fs FileSystem) (*Dynamic, error) {
	if !c.Rewritten() {
		return nil, nil
	}
	d := &Dynamic{fs: fs, file: c.File, sid: c.MyID, active: c.Ensemble.Version}
	if c.DynamicConfigFile != "" {
		return d, nil
	}
	data, err := fs.ReadFile(c.File)
	if err == nil {
		err = d.replace(c.File+".bak", data)
	}
	if err != nil {
		return nil, &Error{fmt.Errorf("no copy of %s, which reconfigEnabled asks for: %w", c.File, err)}
	}
	return d, nil
}

// Rewritten reports whether a reconfig changes zoo.cfg and makes files beside it.
func (c *Config) Rewritten() bool {
	return c.Distributed && c.ReconfigEnabled && c.File != "" && !c.membersSet
}

// Write makes the files say which config is in force and which was last seen; when it returns they are durable. A version that is written already is not
// written again, and what failed is tried again by the next call.
func (d *Dynamic) Write(committed, lastSeen *ensemble.Config) error {
	if d == nil {
		return nil
	}
	if committed.Version > d.active {
		if err := d.activate(committed); err != nil {
			return fmt.Errorf("the config of version %x is in force but not in the configuration files: %w", uint64(committed.Version), err)
		}
		d.active = committed.Version
	}
	next := d.file + nextSuffix
	if lastSeen.Version != committed.Version {
		if err := d.replace(next, dynamicText(lastSeen, true)); err != nil {
			return fmt.Errorf("the config of version %x is proposed but not in a file: %w", uint64(lastSeen.Version), err)
		}
		return nil
	}
	err := d.fs.Remove(next)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.fs.SyncDir(filepath.Dir(next))
	}
	return err
}

// nextSuffix follows the path of zoo.cfg in the name of the file with the config that is proposed and not committed.
const nextSuffix = ".dynamic.next"

// activate writes the file of a config, and then points zoo.cfg to it. Between the two steps the server is one that has not heard of the config's commit.
func (d *Dynamic) activate(c *ensemble.Config) error {
	name := fmt.Sprintf("%s.dynamic.%x", d.file, uint64(c.Version))
	if err := d.replace(name, dynamicText(c, false)); err != nil {
		return err
	}
	pointer, err := d.fs.Canonical(name)
	if err != nil {
		return err
	}
	data, err := d.fs.ReadFile(d.file)
	if err != nil {
		return err
	}
	lines, err := properties.Parse(properties.Latin1(data))
	if err != nil {
		return fmt.Errorf("%s:%w", d.file, err)
	}
	own := c.Server(d.sid)
	return d.replace(d.file, staticText(lines, own != nil && own.Client != nil, filepath.ToSlash(pointer)))
}

// dynamicText is the content of a dynamic file (QuorumPeerConfig.writeDynamicConfig).
func dynamicText(c *ensemble.Config, version bool) []byte {
	lines := strings.Split(c.String(), "\n")
	if !version {
		lines = lines[:len(lines)-1] // it is the last
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n"))
}

// staticText is what becomes of zoo.cfg: without the membership, and without the client address if the membership has it (QuorumPeerConfig.editStaticConfig).
func staticText(lines []properties.Line, client bool, dynamic string) []byte {
	gone := []string{"server.", "group", "weight", "dynamicConfigFile", "peerType"}
	if client {
		gone = append(gone, "clientPort")
	}
	var b strings.Builder
	for _, l := range properties.JavaOrder(lines) {
		if !slices.ContainsFunc(gone, func(prefix string) bool { return strings.HasPrefix(l.Key, prefix) }) {
			b.WriteString(properties.Format(l.Key, l.Value) + "\n")
		}
	}
	b.WriteString(properties.Format("dynamicConfigFile", dynamic) + "\n")
	return []byte(b.String())
}

// replace makes data the content of a file in one step: a loss of power leaves the old file or the new one (AtomicFileWritingIdiom).
func (d *Dynamic) replace(name string, data []byte) error {
	temp := name + ".tmp"
	if err := d.fs.WriteFile(temp, data, d.file); err != nil {
		return err
	}
	if err := d.fs.Rename(temp, name); err != nil {
		return err
	}
	return d.fs.SyncDir(filepath.Dir(name))
}

type files struct{}

func (files) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

func (files) WriteFile(name string, data []byte, like string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if info, statErr := os.Stat(like); statErr == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (files) Rename(from, to string) error { return os.Rename(from, to) }

func (files) Remove(name string) error { return os.Remove(name) }

func (files) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (files) Canonical(name string) (string, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(absolute)
}
