package compat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quoll/compat/peer"
)

// TestConfigCheck compares the file of a member with members that run, quoll and ZooKeeper: as they are, with another limit, with a member that is down.
func TestConfigCheck(t *testing.T) {
	peer.RequireJVM(t)
	binary, err := peer.Binary()
	peer.Check(t, err)
	work := t.TempDir()
	members := peer.Ensemble(t, peer.Options{Work: work, Config: []string{"4lw.commands.whitelist=conf", "maxClientCnxns=7"}}, peer.Kinds[1], peer.Kinds[0], peer.Kinds[1])
	text, err := os.ReadFile(filepath.Join(work, "1", "quoll.cfg"))
	must(t, err)
	file := string(text)
	for i, m := range members { // the ports of clients differ here, so each line has its own
		lines := strings.Split(file, "\n")
		for n, line := range lines {
			if strings.HasPrefix(line, fmt.Sprintf("server.%d=", i+1)) {
				lines[n] = line + ";" + m.Addr()
			}
		}
		file = strings.Join(lines, "\n")
	}
	check := func(file string, code int, want ...string) {
		t.Helper()
		name := filepath.Join(work, "zoo.cfg")
		must(t, os.WriteFile(name, []byte(file), 0o644))
		cmd := exec.Command(binary, "config", "check", "--ensemble", name)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != code {
			t.Errorf("exit code %d, not %d:\n%s", cmd.ProcessState.ExitCode(), code, out)
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%q is not in\n%s", w, out)
			}
		}
	}
	check(file, 0, "server.2 ("+members[1].Addr()+") has the same settings\n", "server.3 ("+members[2].Addr()+") has the same settings\n")
	check(strings.Replace(file, "maxClientCnxns=7", "maxClientCnxns=8", 1), 1, "has maxClientCnxns 7, this file 8: a client that moves")
	check(file+"\nbogus=1\nskipACL=yes\n", 0, "NO EFFECT", "skipACL: every client")
	must(t, members[2].Stop())
	check(file, 1, "server.3 ("+members[2].Addr()+") cannot be asked")
	check(file+"\ntickTime=often\n", 2, "tickTime")
}
