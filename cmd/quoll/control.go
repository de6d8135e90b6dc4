package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"quoll/server"
)

// A running server listens on the Unix socket quoll/control in its dataDir, which its owner alone may use. A connection is one line with a
// command and one line with the answer: `ok` and what the command says, or `error` and why.

// controlled is what a server does on request.
type controlled interface {
	Snapshot() (server.SnapshotTaken, error)
}

// controlCommands are what the socket understands.
var controlCommands = map[string]func(controlled) (string, error){
	"snapshot": func(s controlled) (string, error) {
		taken, err := s.Snapshot()
		return fmt.Sprintf("0x%x %d %s", taken.Zxid, taken.Size, taken.File), err
	},
}

// maxSocketPath is how long the path of a Unix socket can be everywhere.
const maxSocketPath = 100

// controlPath calls fn with the path of the socket in the directory quoll of dataDir. Where it would be too long, the directory goes by the number
// of its descriptor.
func controlPath(dir string, fn func(path string) error) error {
	path := filepath.Join(dir, "control")
	if len(path) <= maxSocketPath || runtime.GOOS != "linux" {
		return fn(path)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return fn(fmt.Sprintf("/proc/self/fd/%d/control", d.Fd()))
}

// dialControl connects to the server that runs on a data directory.
func dialControl(dataDir string) (c net.Conn, err error) {
	err = controlPath(filepath.Join(dataDir, "quoll"), func(path string) error {
		c, err = net.Dial("unix", path)
		return err
	})
	return c, err
}

// control is the server's end.
type control struct {
	l    net.Listener
	path string
	log  *slog.Logger
	s    controlled
}

// listenControl opens the socket of the only server on dataDir, in place of one that a server left which is no more.
func listenControl(dataDir string, s controlled, log *slog.Logger) (*control, error) {
	own := filepath.Join(dataDir, "quoll")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return nil, err
	}
	// Nobody else can reach the socket before it has its mode and its name.
	temp, err := os.MkdirTemp(own, "control.")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	c := &control{path: filepath.Join(own, "control"), log: log, s: s}
	err = controlPath(temp, func(path string) error {
		c.l, err = net.Listen("unix", path)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.l.(*net.UnixListener).SetUnlinkOnClose(false)
	made := filepath.Join(temp, "control")
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, c.path)); err != nil {
		return nil, errors.Join(err, c.l.Close())
	}
	go c.serve()
	return c, nil
}

// Close ends the socket. Commands that run get no answer.
func (c *control) Close() error { return errors.Join(os.Remove(c.path), c.l.Close()) }

func (c *control) serve() {
	for {
		conn, err := c.l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				c.log.Warn("the control socket no longer works", "path", c.path, "error", err)
			}
			return
		}
		go func() {
			defer conn.Close()
			answer, err := c.answer(conn)
			if err != nil {
				answer = "error " + strings.ReplaceAll(err.Error(), "\n", "; ")
			}
			_, _ = fmt.Fprintln(conn, answer)
		}()
	}
}

const (
	controlLine = 4096 // bytes of a command at most
	controlWait = 10 * time.Second
)

func (c *control) answer(conn net.Conn) (string, error) {
	_ = conn.SetReadDeadline(time.Now().Add(controlWait))
	line, err := bufio.NewReader(io.LimitReader(conn, controlLine)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("no command: %w", err)
	}
	do := controlCommands[strings.TrimSpace(line)]
	if do == nil {
		return "", fmt.Errorf("no command %q", strings.TrimSpace(line))
	}
	text, err := do(c.s)
	return "ok " + text, err
}

// askControl sends a command and returns what the answer says.
func askControl(conn net.Conn, command string) (string, error) {
	if _, err := fmt.Fprintln(conn, command); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the server did not answer: %w", err)
	}
	word, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if word != "ok" {
		return "", fmt.Errorf("the server refused: %s", text)
	}
	return text, nil
}
