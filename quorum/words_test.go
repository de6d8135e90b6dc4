package quorum_test

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"quoll/zab"
)

// word asks the server, which may be about to close its connections.
func (m *member) word(word string) string {
	conn, err := net.Dial("tcp", m.addr)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, word); err != nil {
		return err.Error()
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err.Error()
	}
	return string(answer)
}

// sameKeys compares the keys of mntr with those that ZooKeeper has in a role, but for those of namespaces and learners, which depend on what was done.
func sameKeys(t *testing.T, role, answer string) {
	t.Helper()
	data, err := os.ReadFile("../testdata/mntr/" + role + "-3.9.5.txt")
	if err != nil {
		t.Fatal(err)
	}
	keys := func(text string) map[string]bool {
		set := map[string]bool{}
		for line := range strings.Lines(text) {
			if key, _, ok := strings.Cut(line, "\t"); ok && !strings.HasSuffix(key, "_per_namespace") && !strings.Contains(key, "_learner_handler_") && !strings.HasPrefix(key, "#") {
				set[key] = true
			}
		}
		return set
	}
	want, have := keys(string(data)), keys(answer)
	for key := range want {
		if !have[key] {
			t.Errorf("the %s's mntr has no %s", role, key)
		}
	}
	for key := range have {
		if !want[key] {
			t.Errorf("the %s's mntr has %s, ZooKeeper's has not", role, key)
		}
	}
}

// TestWordsOfRoles is that words name the role, and say so when there is none.
func TestWordsOfRoles(t *testing.T) {
	c := newCluster(t, 4, "4lw.commands.whitelist=*", "readonlymode.enabled=true")
	leader := c.leader()
	names := map[zab.Role]string{zab.Leading: "leader", zab.Following: "follower", zab.Observing: "observer"}
	ask := func(m *member, word, part string) {
		t.Helper()
		var answer string
		c.eventually(word+" of a server says "+part, func() bool {
			answer = m.word(word)
			return strings.Contains(answer, part)
		})
	}
	for _, m := range c.members {
		role := m.peer.Status().Role
		ask(m, "srvr", "Mode: "+names[role]+"\n")
		ask(m, "isro", "rw")
		ask(m, "mntr", "zk_server_state\t"+names[role]+"\nzk_peer_state\t"+strings.ToLower(role.String())+" - broadcast\n")
		ask(m, "conf", "membership: \nserver.1=")
		sameKeys(t, names[role], m.word("mntr"))
		if answer := m.word("srvr"); strings.Contains(answer, "Proposal sizes") != (role == zab.Leading) {
			t.Errorf("a %v answers %q", role, answer)
		}
		if answer := m.word("dump"); strings.Contains(answer, "Global Sessions(") == (role == zab.Leading) {
			t.Errorf("a %v answers %q", role, answer)
		}
	}
	var last *member
	for _, m := range c.members[:3] {
		if m == leader || last != nil {
			m.stop()
		} else {
			last = m
		}
	}
	ask(last, "srvr", "READ-ONLY mode; serving only read-only clients\n")
	ask(last, "isro", "ro")
	if answer := last.word("conf"); !strings.Contains(answer, "peerType=0\n") || strings.Contains(answer, "membership") {
		t.Errorf("a read-only server answers %q", answer)
	}
	if answer := last.word("mntr"); !strings.Contains(answer, "zk_server_state\tread-only\n") || strings.Contains(answer, "zk_quorum_size") {
		t.Errorf("a read-only server answers %q", answer)
	}
	last.stop()
	last.more = []string{"readonlymode.enabled=false"}
	last.start()
	for _, word := range []string{"srvr", "stat", "mntr", "conf", "cons", "dump", "dirs", "wchs", "wchc", "wchp", "crst", "srst"} {
		if answer := last.word(word); answer != "This ZooKeeper instance is not currently serving requests\n" {
			t.Errorf("a server that looks for a leader answers %s with %q", word, answer)
		}
	}
	for word, answer := range map[string]string{"ruok": "imok", "isro": "null", "gtmk": "306", "hash": "This ZooKeeper instance is not currently serving requests"} {
		if got := last.word(word); got != answer {
			t.Errorf("a server that looks for a leader answers %s with %q, not %q", word, got, answer)
		}
	}
}
