package peer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Every wait of this package ends here, whatever the load of the machine.
const (
	startTimeout = 2 * time.Minute  // from the start of a process until it is ready
	stopTimeout  = 30 * time.Second // from SIGTERM until the process is gone
	pollInterval = 20 * time.Millisecond
)

// Process is a child process that can be killed and started again with the same command line.
// Its methods may be called from several goroutines; they take turns.
type Process struct {
	Args    []string     // Args[0] is the program; looked up in PATH
	Env     []string     // added to the environment of this process
	Dir     string       // working directory
	LogPath string       // stdout and stderr are appended here, over all starts
	Ready   func() error // asked after a start until it returns nil; nil means ready at once

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has been waited for
}

// Start runs the process and returns when it is ready. The error of a process that ended
// instead, or was never ready, carries the end of its log.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("start %s: runs already as process %d", p.Args[0], p.cmd.Process.Pid)
	}
	log, err := os.OpenFile(p.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Dir = p.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	p.cmd, p.done = cmd, done
	if err := p.waitReady(); err != nil {
		p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("start %s: %w; its log ends:\n%s", p.Args[0], err, tail(p.Log(), 40))
	}
	return nil
}

func (p *Process) waitReady() error {
	if p.Ready == nil {
		return nil
	}
	timeout := time.After(startTimeout)
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		err := p.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended with %v", p.cmd.ProcessState)
		case <-timeout:
			return fmt.Errorf("not ready after %v: %w", startTimeout, err)
		case <-poll.C:
		}
	}
}

// Kill ends the process with SIGKILL and returns when it is gone. A process that has already
// ended is no error.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Stop ends the process with SIGTERM and returns when it is gone; it is an error if that takes
// so long that SIGKILL is needed. A process that has already ended is no error.
func (p *Process) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return nil
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTimeout):
		p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("stop %s: still there %v after SIGTERM", p.Args[0], stopTimeout)
	}
}

// Restart starts the process again, after a Stop if it still runs.
func (p *Process) Restart() error {
	if err := p.Stop(); err != nil {
		return err
	}
	return p.Start()
}

// PID is the id of the process started last, 0 before the first start.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Wait returns when the process has ended, or at once if there is none, with its exit code:
// -1 if a signal ended it.
func (p *Process) Wait() int {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if cmd == nil {
		return 0
	}
	<-done
	return cmd.ProcessState.ExitCode()
}

// Log is what the process has written so far to stdout and stderr, over all its starts.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.LogPath)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// running is asked with mu held.
func (p *Process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *Process) signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// tail is the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
