// Package mntr compares the keys of the four-letter word mntr with those in testdata/mntr, and records them:
//
//	go test ./compat/mntr -run Java -update
//
// A line of such a file is a key and what kind of value it has: int, double or text. A key appears in a file only where a
// server of that role prints it; keys about the JVM are left out, since they vary with its flags.
package mntr

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/compat/peer"
)

var update = flag.Bool("update", false, "write testdata/mntr instead of comparing with it")

// whitelist is needed because only srvr is allowed by default.
const whitelist = "4lw.commands.whitelist=*"

// session leaves a namespace with a quota, a write and a read, so that every labelled metric of a server has a key.
const session = "create /app x\nsetquota -n 100 /app\nset /app y\nget /app\nquit\n"

func TestStandaloneJava(t *testing.T) {
	s := peer.Java(t, peer.Options{Config: []string{whitelist}})
	shell(t, s)
	compare(t, "standalone", await(t, s, "zk_app_quota_count_usage_per_namespace", "zk_cnt_app_read_per_namespace"))
}

func TestPrometheusJava(t *testing.T) {
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := peer.Java(t, peer.Options{Config: []string{
		whitelist,
		"metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
		"metricsProvider.httpHost=127.0.0.1",
		fmt.Sprintf("metricsProvider.httpPort=%d", port),
	}})
	shell(t, s)
	compare(t, "prometheus", await(t, s, `zk_quota_count_usage_per_namespace{key="app"}`, `zk_read_per_namespace_count{key="app"}`))
}

// TestEnsembleJava starts two voters, of which server 2 leads, and an observer.
func TestEnsembleJava(t *testing.T) {
	peer.RequireJVM(t)
	config := []string{whitelist, "initLimit=10", "syncLimit=5"}
	for id := 1; id <= 3; id++ {
		quorum, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		election, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		role := "participant"
		if id == 3 {
			role = "observer"
		}
		config = append(config, fmt.Sprintf("server.%d=127.0.0.1:%d:%d:%s", id, quorum, election, role))
	}
	var servers [4]*peer.Server
	var errs [4]error
	var up sync.WaitGroup
	for id := 1; id <= 3; id++ {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "myid"), []byte(strconv.Itoa(id)), 0o644); err != nil {
			t.Fatal(err)
		}
		work := t.TempDir()
		up.Go(func() {
			servers[id], errs[id] = peer.StartJava(peer.Options{Dir: dir, Work: work, Config: config})
		})
	}
	up.Wait()
	for id := 1; id <= 3; id++ {
		peer.Check(t, errs[id])
		t.Cleanup(func() {
			servers[id].Close()
			peer.ShowLog(t, fmt.Sprint("server ", id), &servers[id].Process)
		})
	}
	for id := 1; id <= 3; id++ {
		shell(t, servers[id]) // reads are counted where they are made
	}
	compare(t, "follower", await(t, servers[1], "zk_cnt_app_read_per_namespace"))
	compare(t, "leader", await(t, servers[2], "zk_cnt_app_read_per_namespace",
		"zk_cnt_1_learner_handler_qp_size", "zk_cnt_3_learner_handler_qp_time_ms"))
	compare(t, "observer", await(t, servers[3], "zk_cnt_app_read_per_namespace"))
}

// shell runs the session in ZooKeeper's shell.
func shell(t *testing.T, s *peer.Server) {
	t.Helper()
	cp, err := peer.Classpath("zookeeper")
	peer.Check(t, err)
	cmd := exec.Command("java", "-cp", cp, "org.apache.zookeeper.ZooKeeperMain", "-server", s.Addr())
	cmd.Stdin = strings.NewReader(session)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("shell: %v\n%s", err, out)
	}
}

// await asks for mntr until it has the given keys, and returns its lines in the form of the files.
func await(t *testing.T, s *peer.Server, keys ...string) []string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		answer, err := s.FourLetter("mntr")
		if err != nil {
			t.Fatal(err)
		}
		missing := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return strings.Contains(answer, k+"\t") })
		if len(missing) == 0 {
			return forms(answer)
		}
		if time.Now().After(deadline) {
			t.Fatalf("mntr still has no %q", missing)
		}
	}
}

func forms(answer string) (lines []string) {
	for line := range strings.Lines(answer) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(key, "zk_process_") || strings.HasPrefix(key, "zk_jvm_") && !strings.Contains(key, "jvm_pause") {
			continue
		}
		form := "text"
		if _, err := strconv.ParseInt(value, 10, 64); err == nil {
			form = "int"
		} else if _, err := strconv.ParseFloat(value, 64); err == nil {
			form = "double"
		}
		lines = append(lines, key+"\t"+form)
	}
	slices.Sort(lines)
	return lines
}

func compare(t *testing.T, role string, got []string) {
	t.Helper()
	file := filepath.Join("..", "..", "testdata", "mntr", role+"-3.9.5.txt")
	if *update {
		head := "# Keys of mntr of Apache ZooKeeper 3.9.5 and their kinds of value, recorded by: go test ./compat/mntr -run Java -update\n"
		if err := os.WriteFile(file, []byte(head+strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(data)), "\n")[1:]
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%s: mntr has no %q", role, line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%s: mntr has %q, the file has not", role, line)
		}
	}
}
