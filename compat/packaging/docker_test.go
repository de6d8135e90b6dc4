// Package packaging checks what packaging/ makes. The image: its entry point writes the zoo.cfg and myid that the entry point of ZooKeeper's image
// (repository 31z4/zookeeper-docker) writes for the same variables, and what the image consists of runs in a chroot as it would in a container.
//
// What that entry point wrote is recorded; to record it anew, or to compare with it, get the script and
//
//	QUOLL_DOCKER_ENTRYPOINT=.../docker-entrypoint.sh go test ./compat/packaging -run TestEntrypoint -update
package packaging

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/compat/peer"
)

var update = flag.Bool("update", false, "record what the script $QUOLL_DOCKER_ENTRYPOINT writes")

const dockerfile = "../../packaging/docker/Dockerfile"

// imageEnv are the variables of the image, out of its Dockerfile.
func imageEnv(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?m)^ENV ((?:.*\\\n)*.*)$`).FindStringSubmatch(string(text))
	if block == nil {
		t.Fatal("the Dockerfile has no ENV")
	}
	return strings.Fields(strings.ReplaceAll(block[1], "\\\n", " "))
}

// cases are what people set beside the defaults, and files that are there before.
var cases = []struct {
	env   []string
	files map[string]string
}{
	{},
	{env: []string{"ZOO_MY_ID=3", "ZOO_SERVERS=server.1=a:2888:3888;2181 server.2=b:2888:3888;2181  server.3=0.0.0.0:2888:3888:participant;0.0.0.0:2181"}},
	{env: []string{"ZOO_4LW_COMMANDS_WHITELIST=*", "ZOO_CFG_EXTRA=metricsProvider.className=org.example.P  snapCount=1000\nreconfigEnabled=true"}},
	{env: []string{"ZOO_4LW_COMMANDS_WHITELIST=srvr, mntr", "ZOO_TICK_TIME=500", "ZOO_INIT_LIMIT=10", "ZOO_SYNC_LIMIT=7", "ZOO_MAX_CLIENT_CNXNS=0"}},
	{env: []string{"ZOO_AUTOPURGE_PURGEINTERVAL=24", "ZOO_AUTOPURGE_SNAPRETAINCOUNT=5", "ZOO_STANDALONE_ENABLED=false", "ZOO_ADMINSERVER_ENABLED=false", "ZOO_TICK_TIME="}},
	{files: map[string]string{"conf/zoo.cfg": "mine=yes\n"}},
	{env: []string{"ZOO_MY_ID=9"}, files: map[string]string{"data/myid": "4\n"}},
}

// entry runs an entry point on a case and returns the files that are there then.
func entry(t *testing.T, program string, number int) string {
	t.Helper()
	c := cases[number]
	dir := t.TempDir()
	for _, name := range []string{"conf", "data", "datalog", "logs"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range c.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "echo", "one two", "three")
	for _, pair := range imageEnv(t) {
		key, value, _ := strings.Cut(pair, "=")
		if strings.HasSuffix(key, "_DIR") {
			value = dir + value
		}
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.Env = append(cmd.Env, c.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
	text := fmt.Sprintf("case %d, output %q\n", number, out)
	for _, name := range []string{"conf/zoo.cfg", "data/myid"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		text += "-- " + name + "\n" + strings.ReplaceAll(string(content), dir, "")
	}
	return text
}

func TestEntrypoint(t *testing.T) {
	const record = "testdata/entrypoint.txt"
	if program := os.Getenv("QUOLL_DOCKER_ENTRYPOINT"); program != "" && *update {
		var all string
		for i := range cases {
			all += entry(t, program, i)
		}
		if err := os.WriteFile(record, []byte(all), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	root := image(t)
	var have string
	for i := range cases {
		have += entry(t, filepath.Join(root, "docker-entrypoint.sh"), i)
	}
	if have != string(want) {
		t.Errorf("ZooKeeper's image writes\n%s\nquoll's\n%s", want, have)
	}
}

// image lays out the minimal image by the step of its Dockerfile, and returns its root.
func image(t *testing.T) string {
	t.Helper()
	binary, err := peer.Binary()
	peer.Check(t, err)
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "packaging/docker/rootfs.sh bin/quoll /image\n") {
		t.Fatal("the Dockerfile does not run rootfs.sh")
	}
	work := t.TempDir()
	if out, err := exec.Command("../../packaging/docker/rootfs.sh", binary, work).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := errors.Join(os.Mkdir(root, 0o755), os.Chmod(filepath.Dir(root), 0o755), os.Chmod(filepath.Dir(filepath.Dir(root)), 0o755)); err != nil {
		t.Fatal(err)
	}
	copies := regexp.MustCompile(`(?m)^COPY --from=build (?:--chown=(\d+):\d+ )?/image/(\w+)/ /$`).FindAllStringSubmatch(string(text), -1)
	if len(copies) != 3 {
		t.Fatalf("the Dockerfile copies %q", copies)
	}
	for _, c := range copies {
		if out, err := exec.Command("cp", "-a", filepath.Join(work, c[2])+"/.", root).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if owner, _ := strconv.Atoi(c[1]); owner != 0 && os.Getuid() == 0 {
			entries, err := os.ReadDir(filepath.Join(work, c[2]))
			for _, e := range entries {
				err = errors.Join(err, os.Chown(filepath.Join(root, e.Name()), owner, owner))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	// An absolute link leads into the image, not to this machine.
	entryLink := filepath.Join(root, "docker-entrypoint.sh")
	target, err := os.Readlink(entryLink)
	if err == nil && filepath.IsAbs(target) {
		err = errors.Join(os.Remove(entryLink), os.Symlink("."+target, entryLink))
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestImage starts the image's command in a chroot, as root and as another user, asks the server, and stops it as a container is stopped.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	for name, uid := range map[string]uint32{"root": 0, "other user": 12345} {
		t.Run(name, func(t *testing.T) {
			root := image(t)
			if err := os.WriteFile(filepath.Join(root, "etc/hosts"), []byte("127.0.0.1 localhost\n"), 0o644); err != nil { // as an engine does
				t.Fatal(err)
			}
			if uid != 0 { // as fsGroup, or whoever made the volumes, does
				for _, dir := range []string{"conf", "data", "datalog", "logs"} {
					if err := os.Chown(filepath.Join(root, dir), int(uid), 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			free, err := peer.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			env := append(imageEnv(t), fmt.Sprint("ZOO_SERVERS=server.1=localhost:2888:3888;", free), "ZOO_4LW_COMMANDS_WHITELIST=ruok", "ZOO_ADMINSERVER_ENABLED=false")
			inside := func(args ...string) *exec.Cmd {
				cmd := exec.Command("/docker-entrypoint.sh", args...)
				cmd.Env, cmd.Dir = env, "/apache-zookeeper-3.9.5-bin"
				cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: uid}}
				return cmd
			}
			log, err := os.Create(filepath.Join(t.TempDir(), "log"))
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			server := inside("zkServer.sh", "start-foreground")
			server.Stdout, server.Stderr = log, log
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- server.Wait() }()
			defer func() {
				_ = server.Process.Kill()
				if t.Failed() {
					text, _ := os.ReadFile(log.Name())
					t.Logf("%s", text)
				}
			}()
			answer := ""
			for end := time.Now().Add(time.Minute); answer != "imok" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				answer, _ = peer.AskWord(fmt.Sprint("127.0.0.1:", free), "ruok", time.Second)
			}
			if answer != "imok" {
				t.Fatalf("ruok: %q", answer)
			}
			for _, c := range [][]string{
				{"zkServer.sh", "status"}, {"zkCli.sh", "-server", fmt.Sprint("localhost:", free), "ls", "/"}, {"quoll", "status", "/conf/zoo.cfg"},
			} {
				// exec runs a command without the entry point
				cmd := inside(c...)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%q: %v: %s", c, err, out)
				}
			}
			owner := uid
			if uid == 0 {
				owner = 1000
			}
			for _, name := range []string{"data/version-2", "datalog/version-2", "data/myid", "conf/zoo.cfg"} {
				info, err := os.Stat(filepath.Join(root, name))
				if err != nil {
					t.Error(err)
				} else if have := info.Sys().(*syscall.Stat_t).Uid; have != owner {
					t.Errorf("%s belongs to %d, not %d", name, have, owner)
				}
			}
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
			if err != nil || !regexp.MustCompile(fmt.Sprintf(`(?m)^Uid:\s%d\s%[1]d\s%[1]d\s`, owner)).Match(status) || strings.Contains(string(status), "\nGroups:\t0 ") {
				t.Errorf("the server runs as another user: %v\n%s", err, status)
			}
			if err := server.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("the server ended with %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("the server does not stop")
			}
		})
	}
}
