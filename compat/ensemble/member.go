package ensemble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"quoll/compat/faultnet"
	"quoll/compat/peer"
)

// Member is one server of an ensemble: a directory, ports and, while it runs, a process. Its methods may be called from any goroutine,
// those that start and end it from one at a time.
type Member struct {
	ID       int64
	Observer bool

	dir                      string         // has zoo.cfg, a log for each kind, and data
	host, clients            *faultnet.Host // where it is, and its clients are
	quorum, election, client int            // ports
	flags                    []string

	mu      sync.Mutex
	kind    Kind
	process *peer.Process
	began   int64 // length of the log when the process was started
	running bool
	paused  bool
	ending  bool     // on purpose
	died    []string // processes that ended by themselves
	torn    int64    // the epoch that ZooKeeper has failed to write, or 0
}

// Kind is the program that the member runs, or will run.
func (m *Member) Kind() Kind {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kind
}

// Dir is the data directory.
func (m *Member) Dir() string { return filepath.Join(m.dir, "data") }

// Addr is the address for clients, host:port.
func (m *Member) Addr() string { return net.JoinHostPort(m.host.Addr(), strconv.Itoa(m.client)) }

// ElectionAddr is where the member listens for votes.
func (m *Member) ElectionAddr() string {
	return net.JoinHostPort(m.host.Addr(), strconv.Itoa(m.election))
}

// QuorumAddr is where the member listens while it leads.
func (m *Member) QuorumAddr() string { return net.JoinHostPort(m.host.Addr(), strconv.Itoa(m.quorum)) }

// Dial connects to the member as a client.
func (m *Member) Dial(ctx context.Context) (net.Conn, error) { return m.clients.Dial(ctx, m.Addr()) }

func (m *Member) String() string { return fmt.Sprintf("member %d (%s)", m.ID, m.Kind()) }

// Start starts the process and does not wait until it serves.
func (m *Member) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		return fmt.Errorf("member %d runs already", m.ID)
	}
	args, env, err := m.kind.command(filepath.Join(m.dir, "zoo.cfg"), m.flags)
	if err != nil {
		return err
	}
	if m.torn != 0 {
		if err := os.WriteFile(filepath.Join(m.Dir(), "version-2", "currentEpoch"), strconv.AppendInt(nil, m.torn, 10), 0o644); err != nil {
			return err
		}
		m.torn = 0
	}
	p := &peer.Process{Args: args, Env: env, Dir: m.dir, LogPath: m.log(m.kind)}
	m.began = 0
	if info, err := os.Stat(p.LogPath); err == nil {
		m.began = info.Size()
	}
	if err := m.host.Do(p.Start); err != nil {
		return err
	}
	m.process, m.running, m.paused, m.ending = p, true, false, false
	kind := m.kind
	go func() {
		code := p.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.process != p {
			return
		}
		m.running = false
		if m.ending {
			return
		}
		if m.torn = tornEpoch(readFrom(p.LogPath, m.began)); m.torn == 0 {
			m.died = append(m.died, fmt.Sprintf("member %d (%s) ended by itself with code %d", m.ID, kind, code))
		}
	}()
	return nil
}

// Torn reports whether the process has ended since ZooKeeper was killed once between a log and its epoch, which Start mends.
func (m *Member) Torn() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.torn != 0
}

// end prepares for the end of the process; nil if there is none.
func (m *Member) end() *peer.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ending = true
	if m.paused {
		syscall.Kill(m.process.PID(), syscall.SIGCONT)
		m.paused = false
	}
	return m.process
}

func (m *Member) ended() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = false
}

// Stop ends the member with SIGTERM and returns when it is gone.
func (m *Member) Stop() error {
	defer m.ended()
	if p := m.end(); p != nil {
		return p.Stop()
	}
	return nil
}

// Kill ends the member with SIGKILL. One that is paused does nothing any more.
func (m *Member) Kill() error {
	defer m.ended()
	m.mu.Lock()
	p := m.process
	m.ending, m.paused = true, false
	m.mu.Unlock()
	if p != nil {
		return p.Kill()
	}
	return nil
}

// Pause stops the process from running, with SIGSTOP: its connections stay, and nobody answers.
func (m *Member) Pause() error { return m.signal(syscall.SIGSTOP, true) }

// Resume ends a pause. One that does not run is no error.
func (m *Member) Resume() error { return m.signal(syscall.SIGCONT, false) }

func (m *Member) signal(s syscall.Signal, paused bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running || m.paused == paused {
		return nil
	}
	m.paused = paused
	pid := m.process.PID()
	if err := syscall.Kill(pid, s); err != nil || !paused {
		return err
	}
	// Not before all its threads have stopped.
	for !stopped(pid) {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// stopped reports whether a process has stopped or is gone. Where there is no /proc it says so at once.
func stopped(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(data), ") ")
	return strings.HasPrefix(state, "T") || strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

// Running reports whether the member has a process that is not paused.
func (m *Member) Running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running && !m.paused
}

// Replace makes the member another kind of server on the same directory. It must not run.
func (m *Member) Replace(kind Kind) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		return fmt.Errorf("member %d runs", m.ID)
	}
	m.kind = kind
	return nil
}

// Wipe removes all data but myid. The member must not run.
func (m *Member) Wipe() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		return fmt.Errorf("member %d runs", m.ID)
	}
	return errors.Join(os.RemoveAll(filepath.Join(m.Dir(), "version-2")), os.RemoveAll(filepath.Join(m.Dir(), "quoll")))
}

// Word sends a four-letter word, on the member's own host, and returns the answer.
func (m *Member) Word(word string) (string, error) {
	const timeout = 2 * time.Second // a Java server that is about to start or end may never answer
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := m.host.Dial(ctx, m.Addr())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, word); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// Mode is what srvr says that the member is: leader, follower, observer, or empty while it does not serve.
func (m *Member) Mode() string {
	if !m.Running() {
		return ""
	}
	text, err := m.Word("srvr")
	_, mode, ok := strings.Cut(text, "Mode: ")
	if err != nil || !ok {
		return ""
	}
	mode, _, _ = strings.Cut(mode, "\n")
	return mode
}

// Metric is a value that mntr shows, empty if it does not.
func (m *Member) Metric(name string) string {
	text, _ := m.Word("mntr")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+"\t"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// OnDisk reports whether bytes are in a log or snapshot of the member.
func (m *Member) OnDisk(marker string) bool {
	names, _ := filepath.Glob(filepath.Join(m.Dir(), "version-2", "*"))
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil && bytes.Contains(data, []byte(marker)) {
			return true
		}
	}
	return false
}
