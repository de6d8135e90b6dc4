// Package packaging checks what packaging/ makes. The image: its entry point writes the zoo.cfg and myid that the entry point of ZooKeeper's image
// (repository 31z4/zookeeper-docker) writes for the same variables, and what the image consists of runs in a chroot as it would in a container. TestEngine
// builds it and runs it with podman.
//
// What that entry point wrote is recorded; to record it anew, or to compare with it, get the script and
//
//	QUOLL_DOCKER_ENTRYPOINT=.../docker-entrypoint.sh go test ./compat/packaging -run TestEntrypoint -update
package packaging

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/compat/peer"
)

var update = flag.Bool("update", false, "record what the script $QUOLL_DOCKER_ENTRYPOINT writes")

const dockerfile = "../../packaging/docker/Dockerfile"

// stage is the part of the Dockerfile that makes an image: official or bitnami.
func stage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "packaging/docker/rootfs.sh bin/quoll /image\n") {
		t.Fatal("the Dockerfile does not run rootfs.sh")
	}
	_, part, found := strings.Cut(string(text), "\nFROM ${VARIANT:-full} AS "+name+"\n")
	if !found {
		t.Fatalf("the Dockerfile has no stage %s", name)
	}
	part, _, _ = strings.Cut(part, "\nFROM ")
	return part
}

// imageEnv are the variables of an image.
func imageEnv(t *testing.T, name string) []string {
	t.Helper()
	block := regexp.MustCompile(`(?m)^ENV ((?:.*\\\n)*.*)$`).FindStringSubmatch(stage(t, name))
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
	for _, pair := range imageEnv(t, "official") {
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
	root := image(t, "official")
	var have string
	for i := range cases {
		have += entry(t, filepath.Join(root, "docker-entrypoint.sh"), i)
	}
	if have != string(want) {
		t.Errorf("ZooKeeper's image writes\n%s\nquoll's\n%s", want, have)
	}
}

// image lays out the minimal form of an image by the steps of its Dockerfile, and returns its root.
func image(t *testing.T, name string) string {
	t.Helper()
	binary, err := peer.Binary()
	peer.Check(t, err)
	work := t.TempDir()
	if out, err := exec.Command("../../packaging/docker/rootfs.sh", binary, work).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := errors.Join(os.Mkdir(root, 0o755), os.Chmod(filepath.Dir(root), 0o755), os.Chmod(filepath.Dir(filepath.Dir(root)), 0o755)); err != nil {
		t.Fatal(err)
	}
	copies := regexp.MustCompile(`(?m)^COPY --from=build (?:--chown=(\d+):(\d+) )?/image/(\w+)/ /$`).FindAllStringSubmatch(stage(t, name), -1)
	if len(copies) != 2 {
		t.Fatalf("the Dockerfile copies %q", copies)
	}
	copies = append([][]string{{"", "", "", "system"}}, copies...)
	for _, c := range copies {
		if out, err := exec.Command("cp", "-a", filepath.Join(work, c[3])+"/.", root).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if c[1] == "" || os.Getuid() != 0 {
			continue
		}
		err := filepath.WalkDir(filepath.Join(work, c[3]), func(path string, _ os.DirEntry, err error) error {
			name, _ := filepath.Rel(filepath.Join(work, c[3]), path)
			if err != nil || name == "." {
				return err
			}
			uid, _ := strconv.Atoi(c[1])
			gid, _ := strconv.Atoi(c[2])
			return os.Lchown(filepath.Join(root, name), uid, gid)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// images are those that take another one's place, and how they are run: by root and by other users.
var images = map[string]struct {
	stage    string
	uid, gid uint32
	owner    uint32   // of what the container writes, and of its server
	env      []string // @PORT stands for the client port
	volumes  []string // given to the user, as fsGroup, or whoever made them, does
	conf     string
	files    []string // that are there then
	myid     string
}{
	"official, root":       {stage: "official", owner: 1000, env: officialEnv, myid: "2", volumes: []string{"data", "datalog", "logs"}, conf: "/conf/zoo.cfg", files: officialFiles},
	"official, other user": {stage: "official", uid: 12345, owner: 12345, env: officialEnv, myid: "2", volumes: []string{"conf", "data", "datalog", "logs"}, conf: "/conf/zoo.cfg", files: officialFiles},
	"bitnami":              {stage: "bitnami", uid: 1001, owner: 1001, env: bitnamiEnv, myid: "3", conf: "/opt/bitnami/zookeeper/conf/zoo.cfg", files: bitnamiFiles},
	"bitnami, other user":  {stage: "bitnami", uid: 12345, owner: 12345, env: bitnamiEnv, myid: "3", conf: "/opt/bitnami/zookeeper/conf/zoo.cfg", files: bitnamiFiles},
}

var (
	officialEnv   = []string{"ZOO_MY_ID=2", "ZOO_SERVERS=server.2=localhost:2888:3888;@PORT", "ZOO_4LW_COMMANDS_WHITELIST=ruok", "ZOO_ADMINSERVER_ENABLED=false"}
	officialFiles = []string{"data/version-2", "datalog/version-2", "data/myid", "conf/zoo.cfg"}
	bitnamiEnv    = []string{"ZOO_PORT_NUMBER=@PORT", "ZOO_4LW_COMMANDS_WHITELIST=srvr, mntr, ruok", "ALLOW_ANONYMOUS_LOGIN=yes", "ZOO_SERVER_ID=3"}
	bitnamiFiles  = []string{"bitnami/zookeeper/data/version-2", "bitnami/zookeeper/data/myid", "opt/bitnami/zookeeper/conf/zoo.cfg", "opt/bitnami/zookeeper/conf/java.env"}
)

// TestImage starts an image's command in a chroot, asks the server, and stops it as a container is stopped.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	for name, c := range images {
		t.Run(name, func(t *testing.T) {
			root := image(t, c.stage)
			if err := os.WriteFile(filepath.Join(root, "etc/hosts"), []byte("127.0.0.1 localhost\n"), 0o644); err != nil { // as an engine does
				t.Fatal(err)
			}
			if is, err := os.Stat(filepath.Join(root, "tmp")); err != nil {
				t.Error(err)
			} else if is.Mode() != fs.ModeDir|fs.ModeSticky|0o777 {
				t.Errorf("/tmp has the mode %v", is.Mode())
			}
			for _, dir := range c.volumes {
				if err := os.Chown(filepath.Join(root, dir), int(c.uid), int(c.gid)); err != nil {
					t.Fatal(err)
				}
			}
			free, err := peer.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			env := imageEnv(t, c.stage)
			for _, e := range c.env {
				env = append(env, strings.ReplaceAll(e, "@PORT", fmt.Sprint(free)))
			}
			entry, command := words(t, c.stage, "ENTRYPOINT"), words(t, c.stage, "CMD")
			var groups []uint32
			if c.uid == 0 {
				groups = []uint32{0} // which an engine gives root
			}
			inside := func(args ...string) *exec.Cmd {
				cmd := exec.Command(entry[0], args...)
				cmd.Env, cmd.Dir = env, "/"
				cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: c.uid, Gid: c.gid, Groups: groups}}
				return cmd
			}
			log, err := os.Create(filepath.Join(t.TempDir(), "log"))
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			server := inside(command...)
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
			probe := exec.Command("sh", "-c", fmt.Sprintf(`echo "ruok" | timeout 2 nc -w 2 localhost %d | grep imok`, free)) // of Bitnami's chart, and of many who wrote their own
			probe.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":"+netcat(t))
			if out, err := probe.CombinedOutput(); err != nil {
				t.Errorf("the probe: %v: %s", err, out)
			}
			for _, cmd := range [][]string{
				{"zkServer.sh", "status"}, {"zkCli.sh", "-server", fmt.Sprint("localhost:", free), "ls", "/"}, {"quoll", "status", c.conf},
			} {
				if out, err := inside(cmd...).CombinedOutput(); err != nil {
					t.Errorf("%q: %v: %s", cmd, err, out)
				}
			}
			for _, name := range c.files {
				info, err := os.Stat(filepath.Join(root, name))
				if err != nil {
					t.Error(err)
				} else if text, err := os.ReadFile(filepath.Join(root, name)); filepath.Base(name) == "myid" && (err != nil || string(text) != c.myid+"\n") {
					t.Errorf("%s has %q: %v", name, text, err)
				} else if have := info.Sys().(*syscall.Stat_t).Uid; have != c.owner {
					t.Errorf("%s belongs to %d, not %d", name, have, c.owner)
				}
			}
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
			if err != nil || !regexp.MustCompile(fmt.Sprintf(`(?m)^Uid:\s%d\s%[1]d\s%[1]d\s`, c.owner)).Match(status) || strings.Contains(string(status), "\nGroups:\t0 ") {
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

// TestLayout looks for what those who come from another image call by its path, and for what an engine is told of the image.
func TestLayout(t *testing.T) {
	scripts := []string{"zkCleanup.sh", "zkCli.sh", "zkServer.sh", "zkServer-initialize.sh", "zkSnapShotToolkit.sh", "zkSnapshotComparer.sh", "zkSnapshotRecursiveSummaryToolkit.sh", "zkTxnLogToolkit.sh"}
	for name, c := range map[string]struct {
		bin      string
		programs []string
		told     []string // lines of the stage
	}{
		"official": {"/apache-zookeeper-3.9.5-bin/bin", []string{"/docker-entrypoint.sh"}, []string{
			"WORKDIR /apache-zookeeper-3.9.5-bin", `VOLUME ["/data", "/datalog", "/logs"]`, "EXPOSE 2181 2888 3888 8080", `ENTRYPOINT ["/docker-entrypoint.sh"]`, `CMD ["zkServer.sh", "start-foreground"]`,
		}},
		"bitnami": {"/opt/bitnami/zookeeper/bin", []string{"/entrypoint.sh", "/run.sh", "/opt/bitnami/scripts/zookeeper/entrypoint.sh", "/opt/bitnami/scripts/zookeeper/run.sh"}, []string{
			"USER 1001", "EXPOSE 2181 2888 3888 8080", `ENTRYPOINT ["/opt/bitnami/scripts/zookeeper/entrypoint.sh"]`, `CMD ["/opt/bitnami/scripts/zookeeper/run.sh"]`,
		}},
	} {
		root := image(t, name)
		quoll, err := filepath.EvalSymlinks(root + c.bin + "/quoll")
		if err != nil {
			t.Fatal(err)
		}
		programs := c.programs
		for _, script := range scripts {
			programs = append(programs, c.bin+"/"+script)
		}
		for _, path := range programs {
			if is, err := filepath.EvalSymlinks(root + path); err != nil || is != quoll {
				t.Errorf("%s: %s leads to %s, %v", name, path, is, err)
			}
		}
		for _, env := range imageEnv(t, name) {
			if path, found := strings.CutPrefix(env, "PATH="); found && !slices.Contains(filepath.SplitList(path), c.bin) {
				t.Errorf("%s: %s is not in PATH", name, c.bin)
			}
		}
		lines := strings.Split(stage(t, name), "\n")
		for _, line := range c.told {
			if !slices.Contains(lines, line) {
				t.Errorf("%s has no line %s", name, line)
			}
		}
	}
}

// netcat is a directory with an nc for machines that have none: like it, it sends what it reads and prints what comes until the other side closes.
func netcat(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nc"), []byte("#!/bin/bash\nexec 3<>/dev/tcp/$3/$4 && cat >&3 && cat <&3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// words is a line of a stage with a command in it: ENTRYPOINT or CMD.
func words(t *testing.T, name, word string) (args []string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^` + word + ` (\[.*\])$`).FindStringSubmatch(stage(t, name))
	if line == nil {
		t.Fatalf("the stage %s has no %s", name, word)
	}
	if err := json.Unmarshal([]byte(line[1]), &args); err != nil {
		t.Fatal(err)
	}
	return args
}
