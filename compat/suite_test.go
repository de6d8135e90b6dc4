//go:build unix

package compat

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/compat/peer"
)

// suiteTimeout bounds one run of another project's suite, or of one of our programs. The longest
// takes about a minute on two cores.
const suiteTimeout = 8 * time.Minute

// skips are the tests of another project's suite that are not run, each with the reason. They are not run against
// the control either: there would be nothing to compare with.
type skips map[string]string

const needsEnsemble = "starts an ensemble of three servers, and quoll is a standalone server so far"

// split parts the tests of the suite into those to run and those to skip, which it does aloud. A skip that the
// suite does not know is an error: the suite was updated, or a name is misspelt.
func (s skips) split(t *testing.T, names []string) (run, skip []string) {
	t.Helper()
	for _, name := range names {
		if reason, ok := s[name]; ok {
			skip = append(skip, name)
			t.Run(name, func(t *testing.T) { t.Skip(reason) })
		} else {
			run = append(run, name)
		}
	}
	if len(skip) != len(s) {
		t.Errorf("the suite has only %q of the tests to skip", skip)
	}
	return run, skip
}

// launcher is the environment in which zkserver/zkServer.sh, whose absolute path is returned as
// well, starts servers of the given kind.
func launcher(t *testing.T, kind string) (path string, env []string) {
	t.Helper()
	path, err := filepath.Abs("zkserver/zkServer.sh")
	if err != nil {
		t.Fatal(err)
	}
	if kind == "quoll" {
		bin, err := peer.Binary()
		peer.Check(t, err)
		return path, []string{"COMPAT_QUOLL=" + bin}
	}
	cp, err := peer.Classpath("zookeeper")
	peer.Check(t, err)
	return path, []string{"COMPAT_CLASSPATH=" + cp}
}

// tool is the path of a program that the test needs; without it the test is skipped aloud.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		peer.Check(t, missing{err})
	}
	return path
}

// missing makes the error of a program that is not installed one about a missing peer.
type missing struct{ error }

func (m missing) Is(target error) bool { return target == peer.ErrMissing }

// run runs a program in a process group of its own, so that servers which it started go with it,
// and returns what it printed.
func run(t *testing.T, dir string, env []string, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A server that outlives its parent must not keep us waiting for the end of its output.
	cmd.WaitDelay = 10 * time.Second
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Start(); err != nil {
		return "", "", err
	}
	err = cmd.Wait()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return out.String(), diag.String(), err
}

// A result is what a program of another language says about one of its tests.
type result struct {
	name   string
	failed bool
	output string // shown if it failed
}

// report makes a subtest of each result. The error is the one that the program ended with: there
// must be one exactly if a test failed, and at least want tests must have run.
func report(t *testing.T, results []result, want int, stderr string, err error) {
	t.Helper()
	failed := false
	for _, r := range results {
		failed = failed || r.failed
		t.Run(r.name, func(t *testing.T) {
			if r.failed {
				t.Error(r.output)
			}
		})
	}
	if failed != (err != nil) {
		t.Errorf("ended with %v:\n%s", err, lastLines(stderr, 40))
	}
	if len(results) < want {
		t.Errorf("%d tests ran, not the %d that there are:\n%s", len(results), want, lastLines(stderr, 40))
	}
}

// lines are the results in the output of our own programs: "ok NAME" or "FAIL NAME: TEXT".
func lines(stdout string) (results []result) {
	for line := range strings.Lines(stdout) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "ok "); ok {
			results = append(results, result{name: name})
		} else if rest, ok := strings.CutPrefix(line, "FAIL "); ok {
			name, text, _ := strings.Cut(rest, ": ")
			results = append(results, result{name: name, failed: true, output: text})
		}
	}
	return results
}

// lastLines is the end of a long text.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
