package toolkit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// TestRepairedLogStarts damages the log of a server that was killed, mends it in place, and starts quoll and Java on what is left.
func TestRepairedLogStarts(t *testing.T) {
	peer.RequireJVM(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s := peer.Quoll(t, peer.Options{})
	c, err := client.Connect(ctx, s.Addr(), client.Options{})
	must(t, err)
	const znodes = 30 // their transactions are the records 2 to 31
	for i := range znodes {
		_, err := c.Create(ctx, fmt.Sprintf("/n%d", i), []byte("data"), client.OpenACL, jute.ModePersistent)
		must(t, err)
	}
	must(t, s.Kill())
	c.Abandon()
	must(t, os.Remove(filepath.Join(s.Dir(), "quoll", "control"))) // a socket cannot be copied

	for _, damage := range []struct {
		name   string
		do     func(log []byte) []byte
		args   []string
		left   int  // znodes afterwards
		starts bool // quoll starts all the same
	}{
		{"a wrong checksum", func(b []byte) []byte { b[places(b, 11)[0]+30] ^= 1; return b }, nil, 9, false},
		{"a wrong checksum, fixed", func(b []byte) []byte { b[places(b, 11)[0]+6] ^= 1; return b }, []string{"--fix-crc"}, znodes, false},
		{"a hole", func(b []byte) []byte { at := places(b, 11, 13); clear(b[at[0]:at[1]]); return b }, nil, 9, false},
		{"zeros in between", func(b []byte) []byte { return slices.Insert(b, places(b, 11)[0], make([]byte, 512)...) }, nil, znodes, false},
		{"an impossible length", func(b []byte) []byte { b[places(b, 21)[0]+8] = 0xff; return b }, nil, 19, false},
		{"rubbish behind the end", func(b []byte) []byte {
			at := places(b, znodes+1)[0]
			end := at + 12 + int(b[at+11]) + 1
			return append(b[:end], strings.Repeat("rubbish", 99)...)
		}, nil, znodes, true},
		{"cut inside the header", func(b []byte) []byte { return b[:9] }, nil, 0, false},
	} {
		t.Run(damage.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(s.Dir())))
			log := filepath.Join(dir, "version-2", "log.1")
			b, err := os.ReadFile(log)
			must(t, err)
			must(t, os.WriteFile(log, damage.do(b), 0o644))

			verdict := quoll(t, dir, "UTC", "", "quoll", "log", "verify", "version-2")
			if strings.Contains(verdict.out, "offset ") == false || (verdict.code == 0) != damage.starts {
				t.Errorf("verify ends with %d:\n%s%s", verdict.code, verdict.out, verdict.err)
			}
			refused, err := peer.StartQuoll(peer.Options{Dir: clone(t, dir)})
			if err == nil {
				must(t, refused.Close())
			}
			if (err == nil) != damage.starts {
				t.Errorf("quoll starts with the damage: %v", err)
			}
			mended := quoll(t, dir, "UTC", "", "quoll", append([]string{"log", "repair", "--in-place", "--yes", log}, damage.args...)...)
			if mended.code != 0 {
				t.Fatalf("repair ends with %d: %s%s", mended.code, mended.out, mended.err)
			}
			if after := quoll(t, dir, "UTC", "", "quoll", "log", "verify", dir); after.code != 0 || strings.Contains(after.out, "offset ") {
				t.Errorf("verify of the mended log ends with %d: %s", after.code, after.out)
			}
			for _, kind := range peer.Kinds {
				server, err := kind.Start(peer.Options{Dir: clone(t, dir)})
				if err != nil {
					t.Errorf("%s: %v\n%s", kind.Name, err, mended.out)
					continue
				}
				if got := count(ctx, t, server.Addr()); got != damage.left {
					t.Errorf("%s has %d znodes, not %d\n%s", kind.Name, got, damage.left, mended.out)
				}
				must(t, server.Close())
			}
		})
	}
}

func clone(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// count is the number of the test's znodes.
func count(ctx context.Context, t *testing.T, addr string) (n int) {
	t.Helper()
	c, err := client.Connect(ctx, addr, client.Options{})
	must(t, err)
	defer c.Close()
	names, _, err := c.Children(ctx, "/", false)
	must(t, err)
	for _, name := range names {
		if strings.HasPrefix(name, "n") {
			n++
		}
	}
	return n
}
