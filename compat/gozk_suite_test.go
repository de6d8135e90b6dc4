//go:build unix

package compat

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quoll/compat/peer"
)

var gozkSkips = skips{
	"TestIntegration_BasicCluster":             needsEnsemble,
	"TestIntegration_ClientClusterFailover":    needsEnsemble,
	"TestIntegration_NoQuorum":                 needsEnsemble,
	"TestIntegration_RecurringReAuthHang":      needsEnsemble,
	"TestIntegration_DNSHostProviderReconnect": needsEnsemble,
	"TestIntegration_IncrementalReconfig":      needsEnsemble,
	"TestIntegration_Reconfig":                 needsEnsemble,
}

// TestGoZKSuite runs the own test-suite of go-zookeeper/zk, whose servers zkserver/zkServer.sh starts.
func TestGoZKSuite(t *testing.T) {
	t.Parallel()
	exe := gozkSuite(t)
	listing, stderr, err := run(t, "", nil, exe, "-test.list", ".")
	if err != nil {
		t.Fatal(err, stderr)
	}
	tests, skip := gozkSkips.split(t, strings.Fields(listing))
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			path, env := launcher(t, kind.Name)
			// Without the version the suite skips what it takes for too new.
			env = append(env, "ZOOKEEPER_BIN_PATH="+filepath.Dir(path), "ZK_VERSION=3.9.5", "TMPDIR="+t.TempDir())
			args := []string{"-test.timeout=" + suiteTimeout.String()}
			if len(skip) > 0 {
				args = append(args, "-test.skip=^("+strings.Join(skip, "|")+")$")
			}
			stdout, stderr, err := run(t, filepath.Dir(exe), env, exe, args...)
			report(t, goResults(tests, stdout), len(tests), stdout+stderr, err)
		})
	}
}

// gozkSuite compiles the suite from the module cache and is the path of its program.
//
// The suite waits for a server by parsing the answer to srvr, where the build date of any release
// since 3.5 does not have the form that it wants. So its compiled copy waits by servingSource.
func gozkSuite(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-zookeeper/zk").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "zk")
	if err := os.CopyFS(dir, os.DirFS(strings.TrimSpace(string(out)))); err != nil {
		t.Fatal(err)
	}
	const helper, wait = "server_help_test.go", "_, ok := FLWSrvr(serverAddrs, time.Second)"
	source, err := os.ReadFile(filepath.Join(dir, helper))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), wait) != 1 {
		t.Fatalf("%s does not wait for its servers by %q", helper, wait)
	}
	for name, text := range map[string]string{
		helper:            strings.Replace(string(source), wait, "ok := serving(serverAddrs)", 1),
		"serving_test.go": servingSource,
	} {
		path := filepath.Join(dir, name)
		// The files of the module cache are read-only, and so are their copies.
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	exe := filepath.Join(dir, "suite.test")
	if _, stderr, err := run(t, dir, []string{"GOFLAGS=", "GOWORK=off"}, "go", "test", "-c", "-o", exe, "."); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, stderr)
	}
	return exe
}

const servingSource = `package zk

import (
	"io"
	"net"
	"strings"
	"time"
)

// serving reports whether all servers answer srvr as ones that serve. It polls for a second, so
// that the caller, which sleeps for a second between its tries, seldom has to.
func serving(servers []string) bool {
	deadline := time.Now().Add(time.Second)
	for _, server := range servers {
		for !serves(server) {
			if time.Now().After(deadline) {
				return false
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return true
}

func serves(server string) bool {
	conn, err := net.DialTimeout("tcp", server, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	conn.Write([]byte("srvr"))
	answer, _ := io.ReadAll(conn)
	return strings.Contains(string(answer), "Mode: ")
}
`

var goFailure = regexp.MustCompile(`(?m)^--- FAIL: (\S+) \(.*\n`)

// goResults are the results of the tests from what a Go test program prints without -v: the
// failures.
func goResults(tests []string, stdout string) (results []result) {
	output := make(map[string]string)
	failures := goFailure.FindAllStringSubmatchIndex(stdout, -1)
	for i, at := range failures {
		end := len(stdout)
		if i+1 < len(failures) {
			end = failures[i+1][0]
		}
		output[stdout[at[2]:at[3]]] = lastLines(stdout[at[1]:end], 60)
	}
	for _, name := range tests {
		text, failed := output[name]
		results = append(results, result{name, failed, text})
	}
	return results
}
