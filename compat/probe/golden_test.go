package probe

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"quoll/jute"
	"quoll/zab/wire"
)

// goldenFile has packets of Apache ZooKeeper as the probes got them, in a form in which those of quoll must be the same to the byte.
var goldenFile = filepath.Join("..", "..", "testdata", "ensemble", "probes.txt")

const goldenHead = `# Packets that Apache ZooKeeper 3.9.5 sent to the probes of compat/probe, which wrote this file (see its doc.go). Session ids are 02 and 03 and zeros, but for
# the last byte of those that a probe chose; zxids, times and digests are zeros, and so are the paths' numbers.
`

var goldens struct {
	sync.Mutex
	want map[string]string // of the file
	got  map[string]string // of this run, Apache ZooKeeper's
}

func recording() bool { return os.Getenv("QUOLL_PROBE_RECORD") == "1" }

// golden compares a packet with the recorded one, or records it.
func golden(w *world, name string, p wire.Packet) {
	w.Helper()
	got := hex.EncodeToString(normal(p).Append(nil))
	goldens.Lock()
	defer goldens.Unlock()
	if goldens.want == nil {
		goldens.want, goldens.got = map[string]string{}, map[string]string{}
		b, err := os.ReadFile(goldenFile)
		if err != nil && !recording() {
			w.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if name, packet, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && name[0] != '#' {
				goldens.want[name] = packet
			}
		}
	}
	switch {
	case w.kind == "java" && recording():
		goldens.got[name] = got
	case !recording() && goldens.want[name] != got:
		w.Errorf("%s is\n%s, not\n%s", name, got, goldens.want[name])
	}
}

// record writes the file anew, if it was asked for; what this run did not come by stays.
func record() error {
	if !recording() {
		return nil
	}
	for name, packet := range goldens.got {
		goldens.want[name] = packet
	}
	var names []string
	for name := range goldens.want {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(goldenHead)
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\n", name, goldens.want[name])
	}
	return os.WriteFile(goldenFile, []byte(b.String()), 0o644)
}

// normal is the packet without what each run has of its own.
func normal(p wire.Packet) *wire.Packet {
	if p.Zxid > 0 {
		p.Zxid = 0
	}
	d := jute.NewDecoder(p.Data)
	switch p.Type {
	case wire.TypeRequest:
		var r wire.Request
		r.Decode(&d)
		r.SessionID, r.Body = plain(r.SessionID), plainPath(r.Body)
		p.Data = r.Append(nil)
	case wire.TypeProposal, wire.TypeInform:
		p.Data = plainTxn(p.Data)
	case wire.TypeInformAndActivate:
		var a wire.Activation
		a.Decode(&d)
		a.Txn = plainTxn(a.Txn)
		p.Data = a.Append(nil)
	case wire.TypeRevalidate, wire.TypePing:
		var s wire.Session
		if s.Decode(&d); d.Err() == nil {
			s.ID = plain(s.ID)
			p.Data = s.Append(nil)
		}
	}
	return &p
}

// plain keeps the sid of a session id, and the small number of one that a probe chose.
func plain(session int64) int64 {
	if session>>56 == me {
		return me << 56
	}
	return session
}

// plainPath puts a zero in the place of the epoch in a path such as /s17, which begins a request.
func plainPath(b []byte) []byte {
	d := jute.NewDecoder(b)
	path := string(d.Text())
	if d.Err() != nil || !strings.HasPrefix(path, "/s") || strings.Trim(path[2:], "0123456789") != "" {
		return b
	}
	return append(jute.AppendString(nil, "/s0"), d.Rest()...)
}

func plainTxn(b []byte) []byte {
	d := jute.NewDecoder(b)
	var h jute.TxnHeader
	h.Decode(&d)
	h.ClientID, h.Zxid, h.Time = plain(h.ClientID), 0, 0
	rest := slices.Clone(d.Rest())
	if n := len(rest); n >= 12 {
		clear(rest[n-8:]) // the tree's digest
	}
	return append(h.Append(nil), rest...)
}

// TestGolden: what was recorded is decoded and encoded to the same bytes.
func TestGolden(t *testing.T) {
	if recording() {
		t.Skip("the file is being written")
	}
	b, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		name, packet, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || name[0] == '#' {
			continue
		}
		want, err := hex.DecodeString(packet)
		if err != nil {
			t.Fatal(err)
		}
		d := jute.NewDecoder(want)
		var p wire.Packet
		p.Decode(&d)
		if d.Err() != nil || d.Len() != 0 {
			t.Errorf("%s: %v, %d bytes are left", name, d.Err(), d.Len())
		}
		if got := normal(p).Append(nil); string(got) != string(want) {
			t.Errorf("%s is encoded\n%x, not\n%x", name, got, want)
		}
		n++
	}
	if n < 20 {
		t.Errorf("%d packets", n)
	}
}
