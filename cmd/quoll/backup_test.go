package main

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"quoll"
	"quoll/backup"
	"quoll/client"
	"quoll/jute"
)

// asProcess is the environment variable with the arguments for which this test binary is the command.
const asProcess = "QUOLL_TEST_ARGS"

// TestProcess is no test, but the command in a process of its own.
func TestProcess(t *testing.T) {
	args := os.Getenv(asProcess)
	if args == "" {
		t.Skip("runs only for other tests")
	}
	if err := run(strings.Fields(args), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quoll:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestBackupPage runs every command of docs/backup.md, in their order, on files that Apache ZooKeeper wrote. The one that stays is ended with
// SIGTERM, right after more has come, which its last pass must ship.
func TestBackupPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(storage + "g1-log.1")
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := os.ReadFile(storage + "g2-snapshot.0")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	write(t, "data/version-2/log.1", append(log, make([]byte, 64<<10)...))
	write(t, "data/version-2/snapshot.0", snapshot)
	write(t, "zoo.cfg", []byte("tickTime=2000\nclientPort=2181\ndataDir=data\n"))
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```(console|sh)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if block[1] == "sh" {
			commands++
			follow(t, strings.TrimSpace(block[2]))
			continue
		}
		for _, step := range strings.Split("\n"+block[2], "\n$ ")[1:] {
			line, want, _ := strings.Cut(strings.TrimSuffix(step, "\n")+"\n", "\n")
			commands++
			if got, _ := runLine(line); !matches(got, want) {
				t.Errorf("$ %s\n%s\ninstead of\n%s", line, got, want)
			}
		}
	}
	if commands < 9 {
		t.Errorf("the page has only %d commands", commands)
	}
}

// follow runs a backup --follow of a source that goes on.
func follow(t *testing.T, line string) {
	t.Helper()
	copied := "follow"
	if err := os.CopyFS(copied, os.DirFS("data")); err != nil {
		t.Fatal(err)
	}
	line = strings.NewReplacer("--data-dir data", "--data-dir "+copied, "--to backup", "--to followed").Replace(line)
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$")
	cmd.Env = append(os.Environ(), asProcess+"="+line)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "copied") {
	}
	s, err := quoll.Start(quoll.Options{Dir: copied, Set: map[string]string{"extendedTypesEnabled": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	writeOne(t, s.Addr())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	m, err := backup.Load(nil, "followed")
	if err != nil {
		t.Fatal(err)
	}
	if m.End() < 0x1d { // a session was opened, a znode created, the session closed
		t.Errorf("the backup ends at %v", m.End())
	}
	if got, status := runLine("quoll backup verify followed"); status != 0 {
		t.Error(got)
	}
}

// writeOne opens a session and creates a znode.
func writeOne(t *testing.T, addr string) {
	t.Helper()
	c, err := client.Connect(t.Context(), addr, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Create(t.Context(), "/more", nil, client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
}

// TestBackupArguments checks exit codes and messages.
func TestBackupArguments(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		line, want string
		status     int
	}{
		{"quoll backup", "--to is missing", exitInvocation},
		{"quoll backup --to " + dir, "neither zoo.cfg nor --data-dir", exitInvocation},
		{"quoll backup --to x a b", "one zoo.cfg", exitInvocation},
		{"quoll backup --to x --keep -1 --data-dir d", "--keep -1", exitInvocation},
		{"quoll backup --to x --interval 0s --data-dir d", "--interval 0s", exitInvocation},
		{"quoll backup --to x --data-dir d zoo.cfg", "beside --data-dir", exitInvocation},
		{"quoll backup none.cfg --to x", "none.cfg", exitInvocation},
		{"quoll backup --data-dir " + dir + " --to " + filepath.Join(dir, "to"), "no such file", exitError},
		{"quoll backup list", "one directory", exitInvocation},
		{"quoll backup verify a b", "one directory", exitInvocation},
		{"quoll backup list " + dir, "no backup", exitError},
		{"quoll backup verify " + dir, "no backup", exitError},
		{"quoll restore", "--from is missing", exitInvocation},
		{"quoll restore --from x", "--data-dir is missing", exitInvocation},
		{"quoll restore --from x --data-dir y z", "no arguments", exitInvocation},
		{"quoll restore --from x --data-dir y --zxid 1 --time 2026-11-21T20:25:17Z", "one target", exitInvocation},
		{"quoll restore --from x --data-dir y --zxid 0x", "--zxid: ", exitInvocation},
		{"quoll restore --from x --data-dir y --zxid -5", "--zxid: ", exitInvocation},
		{"quoll restore --from x --data-dir y --time yesterday", "--time: ", exitInvocation},
		{"quoll restore --from " + dir + " --data-dir " + filepath.Join(dir, "y"), "no backup", exitError},
	} {
		got, status := runLine(c.line)
		if status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: exit code %d, %s", c.line, status, got)
		}
	}
}

// TestRestoreUnderServer refuses to take the directory from under a running server.
func TestRestoreUnderServer(t *testing.T) {
	dir := t.TempDir()
	c, err := listenControl(dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	line := "quoll restore --force --from none --data-dir " + dir
	if got, status := runLine(line); status != exitError || !strings.Contains(got, "a quoll server is running on it") {
		t.Errorf("exit code %d, %s", status, got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got, status := runLine(line); status != exitError || !strings.Contains(got, "no backup") {
		t.Errorf("exit code %d, %s", status, got)
	}
}
