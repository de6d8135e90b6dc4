// Package audit_test compares the audit log with ZooKeeper's.
package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/compat/script"
	"quoll/jute"
)

// patience ends every wait, whatever the load of the machine.
const patience = time.Minute

// longest is the longest value in quoll's audit log, without the dots behind it.
const longest = 8 << 10

// logback is what ZooKeeper's own logback.xml has for the audit log, commented out there.
const logback = `<configuration>
  <appender name="RFAAUDIT" class="ch.qos.logback.core.FileAppender">
    <file>%s</file>
    <encoder><charset>UTF-8</charset><pattern>%%d{ISO8601} %%p %%c{2}: %%m%%n</pattern></encoder>
  </appender>
  <appender name="CONSOLE" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%%d{ISO8601} %%p %%c: %%m%%n</pattern></encoder>
  </appender>
  <logger name="org.apache.zookeeper.audit.Slf4jAuditLogger" level="INFO" additivity="false"><appender-ref ref="RFAAUDIT" /></logger>
  <root level="WARN"><appender-ref ref="CONSOLE" /></root>
</configuration>
`

// options are those of a server of either kind that writes its audit log to the file that is returned.
func options(t *testing.T, config, flags []string) (o peer.Options, file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "audit.log")
	xml := filepath.Join(dir, "logback.xml")
	if err := os.WriteFile(xml, fmt.Appendf(nil, logback, file), 0o644); err != nil {
		t.Fatal(err)
	}
	return peer.Options{
		Work:   dir,
		Config: append([]string{"audit.enable=true", "audit.file=" + file}, config...),
		Flags:  append([]string{"-Dlogback.configurationFile=" + xml}, flags...),
	}, file
}

var (
	stamp   = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} `)
	session = regexp.MustCompile(`session=0x[0-9a-f]+`)
	users   = regexp.MustCompile(`user=[^\t]*`)
	escaped = regexp.MustCompile(`\\(\\|u[0-9a-f]{4}|U[0-9a-f]{8})`)
	hashes  = regexp.MustCompile(`(digest:[^:\t]*):[^:\t]*:`)
)

// lines are the lines of an audit log: sessions are numbered, times are gone, the ephemerals of one session are in order, what quoll has escaped is as ZooKeeper has it, and hashes
// are left out as quoll does.
func lines(t *testing.T, kind, file string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]string{}
	all := stamp.Split(string(text), -1)
	if all[0] != "" {
		t.Errorf("%s's log does not begin with a time: %q", kind, all[0])
	}
	for _, line := range all[1:] {
		line = session.ReplaceAllStringFunc(line, func(id string) string {
			if numbers[id] == "" {
				numbers[id] = fmt.Sprintf("session=%d", len(numbers)+1)
			}
			return numbers[id]
		})
		// ZooKeeper has the users in the order of a hash table.
		line = users.ReplaceAllStringFunc(line, func(list string) string {
			names := strings.Split(list[len("user="):], ",")
			slices.Sort(names)
			return "user=" + strings.Join(names, ",")
		})
		fields := strings.Split(line, "\t")
		for i, f := range fields {
			if strings.HasPrefix(f, "acl=") && kind == "java" {
				f = hashes.ReplaceAllString(f, "$1:x:")
				fields[i] = f
			}
			if name, value, _ := strings.Cut(f, "="); len(value) > longest {
				fields[i] = name + "=" + value[:longest] + "..." // quoll has no more of it
			}
		}
		line = strings.Join(fields, "\t")
		if kind == "quoll" {
			line = escaped.ReplaceAllStringFunc(line, func(e string) string {
				if e == `\\` {
					return `\`
				}
				r, _ := strconv.ParseUint(e[2:], 16, 32)
				return string(rune(r))
			})
		}
		list = append(list, line)
	}
	ends := func(line string) string {
		before, _, found := strings.Cut(line, "operation=ephemeralZNodeDeletionOnSessionCloseOrExpire")
		if !found {
			return ""
		}
		return before
	}
	for i := 0; i < len(list); {
		j := i + 1
		for ; j < len(list) && ends(list[i]) != "" && ends(list[j]) == ends(list[i]); j++ {
		}
		slices.Sort(list[i:j])
		i = j
	}
	return list
}

// short are the scripts that have most of what there is.
var short = []string{"encoding.txt", "multi.txt", "opcodes.txt", "paths.txt", "skipacl.txt", "super.txt", "ttl.txt"}

// TestScripts plays the recorded scripts to both servers, and their audit logs are the same, byte for byte. With QUOLL_AUDIT=1 it plays all of them (3 minutes).
func TestScripts(t *testing.T) {
	peer.RequireJVM(t)
	all, err := script.ReadAll("../../testdata/golden/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	long := peer.Setting(t, "QUOLL_AUDIT", 0) != 0
	for _, s := range all {
		if !long && !slices.Contains(short, s.Name) {
			continue
		}
		if s.Name == "hostile.txt" || s.Lacks != "" {
			continue // the first stops ZooKeeper, the others quoll does not start for
		}
		t.Run(strings.TrimSuffix(s.Name, ".txt"), func(t *testing.T) {
			var logs [2][]string
			for i, kind := range peer.Kinds {
				o, file := options(t, s.Config(), s.Flags())
				server, err := kind.Start(o)
				if err != nil {
					t.Fatal(err)
				}
				defer server.Close()
				if err := script.Play(server.Addr(), s, func(*script.Step, []string) {}); err != nil {
					t.Error(err)
				}
				if err := server.Stop(); err != nil {
					t.Error(err)
				}
				logs[i] = lines(t, kind.Name, file)
			}
			java, quoll := logs[0], logs[1]
			for i := range max(len(java), len(quoll)) {
				if i >= len(java) || i >= len(quoll) || java[i] != quoll[i] {
					t.Fatalf("line %d of %d and %d:\njava  %q\nquoll %q", i+1, len(java), len(quoll), java[i:min(i+3, len(java))], quoll[i:min(i+3, len(quoll))])
				}
			}
			total += len(java)
		})
	}
	t.Logf("%d lines are the same", total)
	if total < 300 {
		t.Errorf("only %d lines were compared", total)
	}
}

// TestEnsemble has clients at every member of an ensemble of each kind: each server logs what its own clients do, and all log the ephemerals that go with a session.
func TestEnsemble(t *testing.T) {
	peer.RequireJVM(t)
	var logs [2][3][]string
	for i, kind := range peer.Kinds {
		var files [3]string
		config, work := []string{"audit.enable=true"}, t.TempDir()
		kinds := make([]peer.Kind, 3)
		for j := range kinds {
			o, file := options(t, nil, nil)
			files[j] = file
			kinds[j] = peer.Kind{Name: kind.Name, Start: func(member peer.Options) (*peer.Server, error) {
				member.Config = append(member.Config, o.Config...)
				member.Flags = o.Flags
				return kind.Start(member)
			}}
		}
		servers := peer.Ensemble(t, peer.Options{Work: work, Config: config}, kinds...)
		// The same order at every member: what one has done is at all before the next does something.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for j, s := range servers {
			c, err := client.Connect(ctx, s.Addr(), client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			path := fmt.Sprintf("/m%d", j+1)
			do := func(err error, want error) {
				t.Helper()
				if !errors.Is(err, want) {
					t.Fatalf("member %d: %v, want %v", j+1, err, want)
				}
			}
			_, err = c.Create(ctx, path, nil, client.OpenACL, jute.ModePersistent)
			do(err, nil)
			_, err = c.Create(ctx, path, nil, client.OpenACL, jute.ModePersistent)
			do(err, jute.ErrNodeExists)
			_, err = c.Create(ctx, path+"/e", nil, client.OpenACL, jute.ModeEphemeral)
			do(err, nil)
			_, err = c.Set(ctx, path, []byte("x"), 7)
			do(err, jute.ErrBadVersion)
			do(c.Close(), nil)
		}
		// The end of the last session is at every member when a session that began after it sees the end.
		for _, s := range servers {
			c, err := client.Connect(ctx, s.Addr(), client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Sync(ctx, "/"); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		for j, s := range servers {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			logs[i][j] = lines(t, kind.Name, files[j])
		}
	}
	for j := range 3 {
		java, quoll := strings.Join(logs[0][j], ""), strings.Join(logs[1][j], "")
		if java != quoll {
			t.Errorf("member %d\njava\n%s\nquoll\n%s", j+1, java, quoll)
		}
		if n := strings.Count(quoll, "ephemeralZNodeDeletionOnSessionCloseOrExpire"); n != 3 {
			t.Errorf("member %d has %d of 3 ephemerals:\n%s", j+1, n, quoll)
		}
	}
}

// TestGone has a client of a learner that is gone before its change is committed: it is in the audit log all the same.
func TestGone(t *testing.T) {
	peer.RequireJVM(t)
	quoll := peer.Kinds[1]
	var files [3]string
	kinds := make([]peer.Kind, 3)
	for j := range kinds {
		o, file := options(t, nil, nil)
		files[j] = file
		kinds[j] = peer.Kind{Name: quoll.Name, Start: func(member peer.Options) (*peer.Server, error) {
			member.Config = append(member.Config, o.Config...)
			return quoll.Start(member)
		}}
	}
	servers := peer.Ensemble(t, peer.Options{}, kinds...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const each = 50
	for i := range each {
		for j, s := range servers {
			c, err := client.Dial(ctx, s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 30000}); err != nil {
				t.Fatal(err)
			}
			req := jute.RequestHeader{Xid: 1, Type: int32(jute.OpCreate)}
			body := (&jute.CreateRequest{Path: fmt.Appendf(nil, "/gone-%d-%d", j, i), ACL: []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}}).Append(req.Append(nil))
			if err := c.Send(body); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
	}
	c, err := client.Connect(ctx, servers[0].Addr(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Sync(ctx, "/"); err != nil {
		t.Fatal(err)
	}
	children, _, err := c.Children(ctx, "/", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
	made := 0
	for _, name := range children {
		var j, i int
		if _, err := fmt.Sscanf(name, "gone-%d-%d", &j, &i); err != nil {
			continue
		}
		made++
		if log := strings.Join(lines(t, "quoll", files[j]), ""); !strings.Contains(log, "znode=/"+name+"\t") {
			t.Errorf("%s is not in the log of its server", name)
		}
	}
	t.Logf("%d of %d znodes were made", made, 3*each)
	if made == 0 {
		t.Error("no znode was made")
	}
}
