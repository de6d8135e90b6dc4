package packaging

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/compat/peer"
)

// machine is a Debian with podman, whose root, processes and network are its own: with its first process all of it ends.
type machine struct {
	pid    int
	work   string // what is written; work/containers is /var/lib/containers there
	groups string // the control group of its containers
}

// boot makes the root of a machine and becomes its first process, which waits and buries the dead. Its arguments are the peer, a directory for what is written, the
// repository, GOROOT, GOMODCACHE and GOCACHE.
const boot = `set -eu
mount --make-rprivate /
root=$2/root
mount -t overlay overlay -o lowerdir=$1/root,upperdir=$2/upper,workdir=$2/work $root
mount --rbind /dev $root/dev
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount --rbind /sys/fs/cgroup $root/sys/fs/cgroup
mount -t tmpfs tmpfs $root/run
mkdir -p $root/var/lib/containers $root/peer $root/src $root/go/root $root/go/mod $root/go/cache $root/before
mount --bind $2/containers $root/var/lib/containers
mount --bind $1 $root/peer
mount --bind $3 $root/src
mount --bind $4 $root/go/root
mount --bind $5 $root/go/mod
mount --bind $6 $root/go/cache
mkdir -p $root/etc/ssl/certs
cp /etc/ssl/certs/ca-certificates.crt $root/etc/ssl/certs/
cat /etc/resolv.conf >$root/etc/resolv.conf
cp $2/containers.conf $root/etc/containers/containers.conf
cd $root
pivot_root . before
exec chroot . sh -c 'umount -l /before; ip link set lo up; echo up; while :; do sleep 1; done'
`

// start boots a machine.
func start(t *testing.T) *machine {
	if os.Getuid() != 0 {
		t.Skip("a container engine needs root")
	}
	engine, err := peer.Path("podman")
	peer.Check(t, err)
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	for _, dir := range []string{"root", "upper", "work", "containers"} {
		if err := os.Mkdir(filepath.Join(work, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	groups := fmt.Sprint("quoll-engine-", os.Getpid())
	// The limits are those that a process without CAP_SYS_RESOURCE may set.
	conf := `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
`
	if err := os.WriteFile(filepath.Join(work, "containers.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", boot, "sh", engine, work, repository}
	for _, name := range []string{"GOROOT", "GOMODCACHE", "GOCACHE"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, strings.TrimSpace(string(out)))
	}
	cmd := exec.Command("sh", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no namespaces for a machine: %v", err)
	}
	m := &machine{pid: cmd.Process.Pid, work: work, groups: groups}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		all, _ := filepath.Glob("/sys/fs/cgroup/*/" + groups)
		for _, dir := range append(all, "/sys/fs/cgroup/"+groups) {
			// From the innermost on; of one that has gone, or was never there, nothing is said.
			_ = exec.Command("find", dir, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
		}
	})
	if n, err := out.Read(make([]byte, 16)); err != nil || n == 0 {
		if os.Getenv("QUOLL_IMAGE") == "1" {
			t.Fatalf("the machine does not come up: %v", err)
		}
		t.Skip("no machine within this one, such as in a container whose root is an overlay: make image says why")
	}
	return m
}

// command is a command on the machine. One from outside has the network of the test.
func (m *machine) command(outside bool, args ...string) *exec.Cmd {
	enter := []string{"--target", fmt.Sprint(m.pid), "--mount", "--pid", "--ipc", "--uts", "--root", "--wd"}
	if !outside {
		enter = append(enter, "--net")
	}
	cmd := exec.Command("nsenter", append(enter, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// try runs podman and returns what it prints.
func (m *machine) try(args ...string) (string, error) {
	var out, log bytes.Buffer
	cmd := m.command(false, append([]string{"podman"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%q: %w: %s%s", args, err, out.String(), log.String())
	}
	return strings.TrimSpace(out.String()), err
}

// podman is try where nothing may go wrong.
func (m *machine) podman(t *testing.T, args ...string) string {
	t.Helper()
	out, err := m.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// build makes the images, each target in each form, as the Dockerfile says, from one that is imported under the names of those that it begins with: no registry is asked. All of it happens with QUOLL_IMAGE=1; otherwise the files that its first stage makes
// are laid out beside it, with the quoll under test.
func (m *machine) build(t *testing.T) {
	t.Helper()
	const base = "docker.io/library/debian:bookworm-slim"
	m.podman(t, "import", "--change", "ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/peer/base.tar", base)
	m.podman(t, "tag", base, "docker.io/library/golang:1.26")
	args := []string{"podman", "build", "--network", "host", "-f", "/src/packaging/docker/Dockerfile"} // the network of who calls it
	if os.Getenv("QUOLL_IMAGE") == "1" {
		for _, volume := range []string{"/go/root:/usr/local/go:ro", "/go/mod:/root/go/pkg/mod", "/go/cache:/root/.cache/go-build", "/usr/bin/make:/usr/bin/make:ro", "/etc/ssl/certs:/etc/ssl/certs:ro"} {
			args = append(args, "-v", volume)
		}
	} else {
		binary, err := peer.Binary()
		peer.Check(t, err)
		if out, err := exec.Command("../../packaging/docker/rootfs.sh", binary, filepath.Join(m.work, "containers/build/image")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		args = append(args, "--build-context", "build=/var/lib/containers/build")
	}
	for _, target := range []string{"official", "bitnami"} {
		for _, form := range []string{"full", "minimal"} {
			args := append(args[:len(args):len(args)], "-t", "quoll:"+target+"-"+form)
			if target != "official" {
				args = append(args, "--target", target)
			}
			if form != "full" {
				args = append(args, "--build-arg", "VARIANT="+form)
			}
			if out, err := m.command(true, append(args, "/src")...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
}

// run starts a container, and sees to its end.
func (m *machine) run(t *testing.T, name, image string, args ...string) {
	t.Helper()
	probe := `["quoll", "status"]`
	if strings.HasSuffix(image, "full") { // of Bitnami's chart, and of many who wrote their own
		probe = "echo ruok | timeout 2 nc -w 2 localhost 2181 | grep imok && quoll status"
	}
	args = append([]string{"run", "-d", "--name", name, "--hostname", name, "--cgroup-parent", "/" + m.groups, "--health-interval", "disable", "--health-cmd", probe}, args...)
	m.podman(t, append(args, "quoll:"+image)...)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := m.command(false, "podman", "logs", name).CombinedOutput()
			t.Logf("%s: %s", name, log)
		}
		_, _ = m.try("rm", "-f", "-v", "-t", "0", name)
		_, _ = m.try("volume", "prune", "-f")
	})
}

// healthy waits until the probe of a container says that it serves.
func (m *machine) healthy(t *testing.T, name string) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err = m.try("healthcheck", "run", name); err == nil {
			return
		}
		if state := m.podman(t, "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name); !strings.HasPrefix(state, "running") {
			t.Fatalf("%s: %s", name, state)
		}
	}
	t.Fatal(err)
}

// stop ends a container as podman does: by its signal, and by SIGKILL where that is not enough, which its exit code tells.
func (m *machine) stop(t *testing.T, name string) {
	t.Helper()
	m.podman(t, "stop", "-t", "60", name)
	if code := m.podman(t, "inspect", "--format", "{{.State.ExitCode}}", name); code != "0" {
		t.Errorf("%s ends with %s", name, code)
	}
}

// directories makes one for each name below dir on the machine, owned by the user, and returns the arguments that mount them.
func (m *machine) directories(t *testing.T, dir string, owner int, names ...string) (args []string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(m.work, "containers", dir, name)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chown(path, owner, owner)); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-v", filepath.Join("/var/lib/containers", dir, name)+":"+name)
	}
	return args
}

var (
	officialOnEngine = []string{"-e", "ZOO_4LW_COMMANDS_WHITELIST=ruok"}
	bitnamiOnEngine  = []string{"-e", "ZOO_4LW_COMMANDS_WHITELIST=ruok,srvr", "-e", "ALLOW_ANONYMOUS_LOGIN=yes"}
)

// containers are ways to run one.
var containers = map[string]struct {
	target string
	args   []string
	dirs   []string // of the engine's host, which belong to owner
	owner  int
	user   string // that the server runs as
}{
	"official":                      {target: "official", user: "1000"},
	"official, volumes":             {target: "official", args: []string{"-v", "data:/data", "-v", "datalog:/datalog"}, user: "1000"},
	"official, another's volumes":   {target: "official", dirs: []string{"/data", "/datalog"}, owner: 4711, user: "1000"},
	"official, no privileges":       {target: "official", args: []string{"--user", "1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}, user: "1000"},
	"official, read-only":           {target: "official", args: []string{"--read-only", "-v", "conf:/conf"}, user: "1000"},
	"official, another user":        {target: "official", args: []string{"--user", "12345"}, dirs: []string{"/conf", "/data", "/datalog"}, owner: 12345, user: "12345"},
	"bitnami":                       {target: "bitnami", user: "1001"},
	"bitnami, root":                 {target: "bitnami", args: []string{"--user", "0"}, dirs: []string{"/bitnami/zookeeper"}, owner: 4711, user: "1000"},
	"bitnami, another user":         {target: "bitnami", args: []string{"--user", "12345"}, user: "12345"},
	"bitnami, read-only, no rights": {target: "bitnami", args: []string{"--read-only", "--cap-drop", "ALL", "--tmpfs", "/opt/bitnami/zookeeper/conf", "-v", "bitnami:/bitnami/zookeeper"}, user: "1001"},
}

// TestEngine builds the images and runs them with podman, alone and as ensembles. With QUOLL_IMAGE=1 each container is run in both forms of its image, otherwise in one.
func TestEngine(t *testing.T) {
	m := start(t)
	m.build(t)
	for i, name := range slices.Sorted(maps.Keys(containers)) {
		c := containers[name]
		forms := []string{"full", "minimal"}
		if os.Getenv("QUOLL_IMAGE") != "1" {
			forms = forms[i%2:][:1]
		}
		for _, form := range forms {
			t.Run(name+", "+form, func(t *testing.T) {
				args := append(slices.Clone(officialOnEngine), c.args...)
				if c.target == "bitnami" {
					args = append(slices.Clone(bitnamiOnEngine), c.args...)
				}
				args = append(args, m.directories(t, name+form, c.owner, c.dirs...)...)
				m.run(t, "alone", c.target+"-"+form, args...)
				m.healthy(t, "alone")
				for _, cmd := range [][]string{{"zkServer.sh", "status"}, {"zkCli.sh", "create", "/a", "b"}} {
					if _, err := m.try(append([]string{"exec", "alone"}, cmd...)...); err != nil {
						t.Error(err)
					}
				}
				status, err := m.command(false, "cat", "/proc/"+m.podman(t, "inspect", "--format", "{{.State.Pid}}", "alone")+"/status").Output()
				if err != nil || !regexp.MustCompile(`(?m)^Uid:\s`+c.user+`\s`).Match(status) {
					t.Errorf("the server runs as another user: %v\n%s", err, status)
				}
				m.stop(t, "alone")
				m.podman(t, "start", "alone")
				m.healthy(t, "alone")
				if out, err := m.try("exec", "alone", "quoll", "cli", "get", "/a"); err != nil || !strings.HasSuffix(out, "b") {
					t.Errorf("after a stop and a start: %v: %s", err, out)
				}
				m.stop(t, "alone")
			})
		}
	}
	t.Run("official, ensemble", func(t *testing.T) {
		m.ensemble(t, "official", func(i int) []string {
			return append(slices.Clone(officialOnEngine), "-e", fmt.Sprint("ZOO_MY_ID=", i), "-v", fmt.Sprintf("data%d:/data", i), "-v", fmt.Sprintf("datalog%d:/datalog", i),
				"-e", "ZOO_SERVERS=server.1=zoo1:2888:3888;2181 server.2=zoo2:2888:3888;2181 server.3=zoo3:2888:3888;2181")
		})
	})
	t.Run("bitnami, ensemble", func(t *testing.T) {
		m.ensemble(t, "bitnami", func(i int) []string {
			return append(slices.Clone(bitnamiOnEngine), "-e", fmt.Sprint("ZOO_SERVER_ID=", i), "-v", fmt.Sprintf("bitnami%d:/bitnami/zookeeper", i),
				"-e", "ZOO_SERVERS=zoo1:2888:3888,zoo2:2888:3888,zoo3:2888:3888", "-e", "ZOO_FIPS_MODE=no", "-e", "ZOO_ENABLE_QUORUM_AUTH=yes",
				"-e", "ZOO_QUORUM_LEARNER_USER=member", "-e", "ZOO_QUORUM_LEARNER_PASSWORD=secret", "-e", "ZOO_QUORUM_SERVER_USERS=member", "-e", "ZOO_QUORUM_SERVER_PASSWORDS=secret")
		})
	})
}

// ensemble has three containers on a network find each other by their names. The leader is stopped, and a container of the other form takes its place on the same volumes.
func (m *machine) ensemble(t *testing.T, target string, args func(i int) []string) {
	m.podman(t, "network", "create", target)
	run := func(i int, full bool) {
		t.Helper()
		m.run(t, fmt.Sprint("zoo", i), target+map[bool]string{true: "-full", false: "-minimal"}[full], append([]string{"--network", target}, args(i)...)...)
	}
	for i := 1; i <= 3; i++ {
		run(i, i != 2)
	}
	for i := 1; i <= 3; i++ {
		m.healthy(t, fmt.Sprint("zoo", i))
	}
	const all = "zoo1,zoo2,zoo3"
	exec := func(i int, args ...string) string {
		t.Helper()
		return m.podman(t, append([]string{"exec", fmt.Sprint("zoo", i)}, args...)...)
	}
	exec(1, "zkCli.sh", "-server", all, "create", "/a", "before")
	leader := 0
	for i := 1; i <= 3; i++ {
		if exec(i, "quoll", "status") == "Mode: leader" {
			leader = i
		}
	}
	if leader == 0 {
		t.Fatal("nobody leads")
	}
	name, other := fmt.Sprint("zoo", leader), leader%3+1
	m.stop(t, name)
	exec(other, "zkCli.sh", "-waitforconnection", "-server", all, "set", "/a", "between")
	m.podman(t, "rm", name)
	run(leader, leader == 2)
	m.healthy(t, name)
	if log, err := m.command(false, "podman", "logs", name).CombinedOutput(); err != nil || !bytes.Contains(log, []byte(" from=store ")) {
		t.Errorf("%s does not begin with what is on its volume: %v: %s", name, err, log)
	}
	if out := exec(leader, "quoll", "cli", "get", "/a"); !strings.HasSuffix(out, "between") {
		t.Errorf("%s has %q", name, out)
	}
}
