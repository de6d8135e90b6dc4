package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"quoll/client"
	"quoll/compat/faultfs"
	"quoll/compat/peer"
	"quoll/jute"
)

// What a server does while the fault is there.
const (
	wentOn     = "went on"
	refusing   = "refused writes" // or left them without an answer, for a while or for good, and lived
	stopped    = "stopped"
	notStarted = "did not start"
	powerless  = "power cut"
)

// What the next server does with what is left.
const (
	complete = "complete" // starts, everything acknowledged is there
	repaired = "repaired" // and it says that something was wrong
	named    = "refused"  // does not start, and names the file
	unnamed  = "refused, unnamed"
	readOnly = "read-only" // starts, everything is there, but it does not write
	crashed  = "crashed"
	lost     = "silent loss" // starts and serves, and something acknowledged is missing or wrong
)

// outcome is what became of a case.
type outcome struct {
	during, after string
	notes         []string
}

func (o *outcome) say(format string, args ...any) {
	o.notes = append(o.notes, fmt.Sprintf(format, args...))
}

// settings make the log roll and the snapshots come often.
var settings = []string{"snapCount=60", "preAllocSize=64", "maxClientCnxns=0", "4lw.commands.whitelist=*"}

const (
	before = 110 // requests before the restart
	after  = 90  // and after it
)

// script runs a server on a directory, with clients, up to the moment at which it is killed. One that stops by itself is started again
// by its operator, and the clients write on.
func script(kind peer.Kind, dir string, w *work, cut <-chan struct{}) (during string, err error) {
	s, err := kind.Start(peer.Options{Dir: dir, Config: settings})
	if err != nil {
		return notStarted, err
	}
	defer s.Close()
	defer w.disconnect()
	err = w.run(s.Addr(), before/2)
	if err == nil {
		err = w.visit(s.Addr())
	}
	if err == nil {
		err = w.run(s.Addr(), before/2)
	}
	select {
	case <-cut:
		return powerless, nil
	default:
	}
	if err == nil {
		w.disconnect()
		err = s.Stop()
		if err == nil {
			if err = s.Start(); err != nil {
				return notStarted, err
			}
			err = w.run(s.Addr(), after)
		}
	}
	if err == nil {
		if w.refusedCount > 0 || w.interrupted > 0 {
			return refusing, nil
		}
		return wentOn, nil
	}
	if _, gone := s.FourLetter("srvr"); gone == nil {
		return refusing, err
	}
	err = fmt.Errorf("%w; its log ends: %s", err, tail(s.Log(), 4))
	select {
	case <-cut:
		return powerless, nil
	default:
	}
	w.disconnect()
	if s.Kill() == nil && s.Start() == nil {
		if again := w.run(s.Addr(), after/2); again != nil {
			err = fmt.Errorf("%w; started again: %w", err, again)
		}
	}
	return stopped, err
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Words in a server's log.
var (
	quollWarns = regexp.MustCompile(`(?m)^.*level=(WARN|ERROR).*$`)
	javaWarns  = regexp.MustCompile(`(?m)^.* - (WARN|ERROR) .*persistence\.(FileTxnLog|FileTxnSnapLog|FileSnap|SnapStream|Util)\b.*$`)
	panics     = regexp.MustCompile(`(?m)^(panic: |fatal error: |unexpected fault address).*`)
	place      = regexp.MustCompile(`log\.[0-9a-f]+, offset \d+, zxid 0x`) // of damage in a log, as quoll gives it
	dataFile   = regexp.MustCompile(`(log|snapshot)\.[0-9a-f]+|/quoll\b|version-2`)
)

// verify starts a server on what is left and compares what it shows with what was acknowledged. File is the name that a refusal has to
// name; empty means any file of the data directory. With again set, it also writes, kills, and starts once more.
func verify(kind peer.Kind, dir, file string, w *work, again bool) (o outcome) {
	for round := 0; ; round++ {
		s, err := kind.Start(peer.Options{Dir: dir, Config: settings})
		if err != nil {
			text := err.Error()
			switch {
			case kind.Name == "quoll" && panics.MatchString(text):
				o.after = crashed
			case kind.Name == "quoll" && strings.HasPrefix(file, "log."):
				// Of a log that was cut, the sign is the next one, which begins too late.
				if o.after = unnamed; place.MatchString(text) {
					o.after = named
				}
			case file != "" && strings.Contains(text, file) || file == "" && dataFile.MatchString(text):
				o.after = named
			default:
				o.after = unnamed
			}
			if round > 0 {
				o.after = lost // it had started on the same files before
			}
			o.say("%s", tail(text, 3))
			return o
		}
		o.compare(s, kind, w)
		if o.after != complete && o.after != repaired || !again || round > 0 {
			s.Close()
			return o
		}
		err = w.run(s.Addr(), 12)
		w.disconnect()
		s.Close()
		if err != nil {
			o.after = readOnly
			o.say("%v", err)
			return o
		}
	}
}

func (o *outcome) compare(s *peer.Server, kind peer.Kind, w *work) {
	if o.after == "" {
		o.after = complete
	}
	fail := func(after string, format string, args ...any) {
		o.after = after
		o.say(format, args...)
	}
	if w.session != 0 {
		conn, _, err := dial(s.Addr(), w.session, w.password)
		switch {
		case errors.Is(err, jute.ErrSessionExpired):
			fail(lost, "session %#x is gone", w.session)
		case err != nil:
			fail(readOnly, "the session: %v", err)
		default:
			conn.Close()
		}
	}
	conn, _, err := dial(s.Addr(), 0, nil)
	if err != nil {
		fail(readOnly, "a new session: %v", err)
		return
	}
	defer conn.Close()
	found, err := observe(conn)
	if err != nil {
		fail(lost, "reading: %v", err)
		return
	}
	for _, l := range append(w.losses(found), w.wrong...) {
		fail(lost, "%s", l)
	}
	answer, err := s.FourLetter("mntr")
	if err != nil {
		fail(lost, "mntr: %v", err)
	}
	for line := range strings.Lines(answer) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "zk_digest_mismatches_count" && f[1] != "0" {
			fail(lost, "%s", strings.TrimSpace(line))
		}
	}
	if err := w.probe(conn); err != nil && o.after != lost {
		fail(readOnly, "a write: %v", err)
	}
	if o.after == complete {
		warns := quollWarns
		if kind.Name == "java" {
			warns = javaWarns
		}
		if line := warns.FindString(s.Log()); line != "" {
			fail(repaired, "%s", line)
		}
	}
}

// probe makes a znode and takes it away.
func (w *work) probe(conn *client.RawConn) error {
	probe := []byte("/probe")
	for _, r := range []*request{
		{op: jute.OpCreate, body: &jute.CreateRequest{Path: probe, ACL: acls[0]}}, {op: jute.OpDelete, body: &jute.DeleteRequest{Path: probe, Version: -1}},
	} {
		err := conn.Request(1, r.op, r.body)
		if err == nil {
			var h jute.ReplyHeader
			if h, _, err = conn.Reply(); err == nil && h.Err != 0 {
				err = jute.Code(h.Err)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// diskCase is a fault of the disk in the middle of the script.
type diskCase struct {
	rule    faultfs.Rule
	journal bool // what a power cut keeps of directories
	cutLast bool // the power goes when the server is killed
}

// run runs the case. Without a fault at its place, ok is false: this time there were fewer operations.
func (c diskCase) run(kind peer.Kind, temp string, seed uint64) (o outcome, ok bool, err error) {
	mountAt, err := os.MkdirTemp(temp, "mount-")
	if err != nil {
		return o, false, err
	}
	disk := faultfs.New(faultfs.Options{Seed: seed, Journal: c.journal})
	mount, err := disk.Mount(mountAt)
	if err != nil {
		return o, false, err
	}
	defer func() { err = errors.Join(err, mount.Unmount(), os.Remove(mountAt)) }()
	disk.Inject(c.rule)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-disk.Cut():
			// The image is taken; what the server does from here on fails, and is of no account.
			disk.Release()
		case <-ended:
		}
	}()
	w := newWork(seed)
	during, err := script(kind, mountAt, w, disk.Cut())
	o.during = during
	if err != nil {
		o.say("%s: %v", during, err)
	}
	if len(disk.Fired()) == 0 {
		return o, false, nil
	}
	left := disk
	if image := disk.Image(); image != nil {
		left, o.during = image, powerless
	} else if c.cutLast {
		left = disk.PowerCut(seed)
	}
	dir, err := os.MkdirTemp(temp, "left-")
	if err != nil {
		return o, true, err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if err := left.Save(data); err != nil {
		return o, true, err
	}
	v := verify(kind, data, "", w, kind.Name == "quoll" && seed%3 == 0)
	v.during, v.notes = o.during, append(o.notes, v.notes...)
	return v, true, nil
}

// copyTree copies a directory. Zeros take no room in the copy.
func copyTree(from, to string) error {
	list, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for _, e := range list {
		a, b := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case e.IsDir():
			err = copyTree(a, b)
		case e.Type().IsRegular():
			err = copyFile(a, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	err = out.Truncate(int64(len(b)))
	for at := 0; at < len(b) && err == nil; at += 4096 {
		if part := b[at:min(at+4096, len(b))]; slices.Max(part) > 0 {
			_, err = out.WriteAt(part, int64(at))
		}
	}
	return errors.Join(err, out.Close())
}
