package packaging

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/compat/peer"
	"quoll/config"
)

// TestNotify has quoll started by a service manager: it says when it is ready, that it lives, what it is, and when it stops. The unit has systemd listen.
func TestNotify(t *testing.T) {
	unit, err := os.ReadFile("../../packaging/systemd/quoll.service")
	if err != nil || !strings.Contains(string(unit), "\nType=notify\n") || !strings.Contains(string(unit), "\nWatchdogSec=") {
		t.Errorf("the unit does not listen: %v: %s", err, unit)
	}
	binary, err := peer.Binary()
	peer.Check(t, err)
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	cmd := exec.Command(binary, "server", "--client-port", "0", "--data-dir", filepath.Join(dir, "data"), "--set", "admin.enableServer=false")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket.LocalAddr().String(), "WATCHDOG_USEC=300000", "WATCHDOG_PID=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	expect := func(want string) {
		t.Helper()
		packet := make([]byte, 4096)
		_ = socket.SetReadDeadline(time.Now().Add(time.Minute)) // also where others come
		for {
			n, err := socket.Read(packet)
			if err != nil {
				t.Fatalf("%s does not come: %v", want, err)
			}
			if strings.Contains(string(packet[:n]), want) {
				return
			}
		}
	}
	expect("READY=1\nSTATUS=")
	expect("WATCHDOG=1\nSTATUS=Mode: standalone")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("STOPPING=1")
}

// TestDebian builds the package, installs it below a directory, starts what it installed, removes it and purges it.
func TestDebian(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("no dpkg-deb")
	}
	if os.Getuid() != 0 {
		t.Skip("dpkg needs root")
	}
	binary, err := peer.Binary()
	peer.Check(t, err)
	work := t.TempDir()
	deb, root := filepath.Join(work, "quoll.deb"), filepath.Join(work, "root")
	command := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
		return string(out)
	}
	command("../../packaging/deb/build.sh", binary, "0.1", deb)
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dpkg := func(args ...string) string {
		t.Helper()
		return command(append([]string{"dpkg", "--root=" + root, "--force-script-chrootless", "--force-depends"}, args...)...)
	}
	dpkg("-i", deb)
	conf := filepath.Join(root, "etc/zookeeper/conf/zoo.cfg")
	for _, name := range []string{"usr/bin/quoll", "usr/share/zookeeper/bin/zkServer.sh", "usr/share/zookeeper/conf/zoo.cfg", "lib/systemd/system/quoll.service", "etc/default/zookeeper", "var/lib/zookeeper"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := config.Load(config.Sources{File: conf}); err != nil {
		t.Errorf("the packaged zoo.cfg: %v", err)
	}
	// What the operator changed stays.
	free, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	mine := fmt.Sprintf("dataDir=%s\nclientPort=%d\nadmin.enableServer=false\n4lw.commands.whitelist=ruok\n", filepath.Join(root, "var/lib/zookeeper"), free)
	if err := os.WriteFile(conf, []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	script := func(verb string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(root, "usr/share/zookeeper/bin/zkServer.sh"), verb)
		cmd.Env = []string{"ZOO_LOG_DIR=" + filepath.Join(root, "var/log/zookeeper")}
		return cmd
	}
	if out, err := script("start").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	answer := ""
	for end := time.Now().Add(time.Minute); answer != "imok" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		answer, _ = peer.AskWord(fmt.Sprint("127.0.0.1:", free), "ruok", time.Second)
	}
	if out, err := script("stop").CombinedOutput(); err != nil || answer != "imok" {
		t.Errorf("ruok: %q, stop: %v: %s", answer, err, out)
	}
	dpkg("-i", "--force-confdef", deb)
	dpkg("-r", "quoll")
	if text, err := os.ReadFile(conf); err != nil || string(text) != mine {
		t.Errorf("zoo.cfg after a removal: %v: %s", err, text)
	}
	if _, err := os.Stat(filepath.Join(root, "usr/bin/quoll")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the binary after a removal: %v", err)
	}
	dpkg("--purge", "quoll")
	if _, err := os.Stat(conf); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("zoo.cfg after a purge: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "var/lib/zookeeper/version-2")); err != nil {
		t.Errorf("the data after a purge: %v", err)
	}
}
