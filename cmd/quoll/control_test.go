package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll"
	"quoll/inspect"
	"quoll/server"
)

// startControlled starts a server with its control socket on dir.
func startControlled(t *testing.T, dir string) *quoll.Server {
	t.Helper()
	s, err := quoll.Start(quoll.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err := listenControl(dir, s, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSnapshotWrite asks a running server, and then reads the directory of a stopped one.
func TestSnapshotWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a-long-path/", 10)) // longer than the address of a socket can be
	to := filepath.Join(t.TempDir(), "copy")
	t.Run("running", func(t *testing.T) {
		startControlled(t, dir)
		info, err := os.Stat(filepath.Join(dir, "quoll", "control"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("the socket has the mode %v", info.Mode())
		}
		if out, status := runLine("quoll snapshot write --data-dir " + dir); status != 0 || !strings.HasPrefix(out, "written: "+dir+"/version-2/snapshot.0, zxid 0x0, 478 bytes") {
			t.Error(status, out)
		}
		if out, status := runLine("quoll snapshot write --to " + to + " --data-dir " + dir); status != 0 {
			t.Error(status, out)
		}
		if out, status := runLine("quoll snapshot write --to " + to + ".gz --data-dir " + dir); status != 1 || !strings.Contains(out, "suffix") {
			t.Error(status, out)
		}
		log := filepath.Join(dir, "version-2", "log.1")
		if out, status := runLine("quoll log repair --in-place --yes " + log); status != 1 || !strings.Contains(out, "a server is running on "+dir) {
			t.Error(status, out)
		}
	})
	if _, err := os.Stat(filepath.Join(dir, "quoll", "control")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the socket is left behind:", err)
	}
	for _, file := range []string{to, to + ".gz"} {
		if out, status := runLine("quoll snapshot write --to " + file + " --data-dir " + dir); status != 0 {
			t.Error(status, out)
		}
		if verdict, err := inspect.VerifySnapshot(file, inspect.Options{}); err != nil || verdict.Nodes != 4 {
			t.Error(verdict, err)
		}
	}
	startControlled(t, dir) // in place of a socket that was left, too
}

type failing struct{}

func (failing) Snapshot() (server.SnapshotTaken, error) {
	return server.SnapshotTaken{}, errors.New("no\nroom")
}

func TestControlErrors(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // the second takes the place of the first
		c, err := listenControl(dir, failing{}, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.l.Close()
	}
	for command, want := range map[string]string{
		"snapshot":                 "the server refused: no; room",
		"bogus":                    `the server refused: no command "bogus"`,
		strings.Repeat("x", 10000): "the server", // refused, or hung up on a line that long
	} {
		conn, err := dialControl(dir)
		if err != nil {
			t.Fatal(err)
		}
		var answer string
		if answer, err = askControl(conn, command); err == nil || !strings.Contains(err.Error(), want) {
			var reset *net.OpError
			if len(command) < 100 || !errors.As(err, &reset) {
				t.Errorf("%.20s: %q, %v", command, answer, err)
			}
		}
		conn.Close()
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "quoll")); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
}
