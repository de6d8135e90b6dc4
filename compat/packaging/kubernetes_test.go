package packaging

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"quoll/compat/faultnet"
	"quoll/compat/peer"
	"quoll/tlsconf/tlstest"
)

// object is what the test needs of an object of Kubernetes. Whether it is one at all is a test of packaging/helm.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Replicas int
		Template struct {
			Spec struct{ Containers []container }
		}
	}
}

type container struct {
	Command, Args []string
	Env           []struct {
		Name, Value string
		ValueFrom   struct {
			FieldRef struct {
				Path string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
			ConfigMap struct{ Name, Key string } `yaml:"configMapKeyRef"`
			Secret    struct{ Name, Key string } `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	ReadinessProbe struct{ Exec struct{ Command []string } } `yaml:"readinessProbe"`
}

func manifests(t *testing.T, file string) map[string]object {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]object{}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[o.Kind+"/"+o.Metadata.Name] = o
	}
}

// secret is what the manifests want to find in the cluster.
var secret = map[string]string{"auth": "digest:super:secret", "superDigest": "super:lK75jTNcA+U9vtVEw5vB51mj/w4="}

// pod is a container of a StatefulSet or a Job on a host of its own.
type pod struct {
	host      *faultnet.Host
	root      string // of its file system
	container container
	env       []string
}

// command is a command in the container.
func (p *pod) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Path = args[0]
	if !strings.HasPrefix(args[0], "/") {
		cmd.Path, cmd.Err = "/apache-zookeeper-3.9.5-bin/bin/"+args[0], nil
	}
	cmd.Env, cmd.Dir = p.env, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: p.root, Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	return cmd
}

// run runs a command in the container to its end.
func (p *pod) run(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := p.host.Do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}

// TestKubernetes runs the containers of the manifests, each on a host of its own. The defaults: three members find each other. With a superuser and TLS, between the members
// and with everybody from outside: two more join, one leaves, and one that starts again knows what has become of the members.
func TestKubernetes(t *testing.T) {
	three, five := manifests(t, "../../packaging/kubernetes/quoll.yaml"), manifests(t, "testdata/kubernetes.yaml")
	network := faultnet.For(t, 5, 1)
	_, err := peer.Binary()
	peer.Check(t, err)
	ca := tlstest.New(t, "ca")
	certificate := ca.Issue("quoll", func(c *x509.Certificate) { c.DNSNames = []string{"quoll", "*.quoll-members"} })
	hosts := "127.0.0.1 localhost\n"
	for i, h := range network.Hosts {
		hosts += fmt.Sprintf("%s quoll-%d.quoll-members\n", h.Addr(), i)
		if i < 3 {
			hosts += h.Addr() + " quoll\n"
		}
	}
	// newPod lays out a container; objects are those of the cluster at the time.
	newPod := func(objects map[string]object, name string, i int) *pod {
		t.Helper()
		p := &pod{host: network.Hosts[i], root: image(t, "official"), container: objects[name].Spec.Template.Spec.Containers[0]}
		if err := os.WriteFile(filepath.Join(p.root, "etc/hosts"), []byte(hosts), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, use := range []string{"client", "quorum"} { // the secrets of TLS; no default names them
			dir := filepath.Join(p.root, "tls", use)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, data := range map[string][]byte{"tls-combined.pem": ca.Store(certificate), "ca.crt": ca.Trust()} {
				file := filepath.Join(dir, name)
				if err := errors.Join(os.WriteFile(file, data, 0o440), os.Chown(file, 0, 1000)); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.env = imageEnv(t, "official")
		var expand []string
		for _, e := range p.container.Env {
			value := strings.NewReplacer(expand...).Replace(e.Value)
			switch from := e.ValueFrom; {
			case from.FieldRef.Path == "metadata.labels['apps.kubernetes.io/pod-index']":
				value = fmt.Sprint(i)
			case from.ConfigMap.Name != "":
				value = objects["ConfigMap/"+from.ConfigMap.Name].Data[from.ConfigMap.Key]
			case from.Secret.Name != "":
				value = secret[from.Secret.Key]
			}
			if value == "" {
				t.Fatalf("%s: %s has no value", name, e.Name)
			}
			p.env = append(p.env, e.Name+"="+value)
			expand = append(expand, "$("+e.Name+")", value)
		}
		return p
	}
	start := func(p *pod) (stop func()) {
		t.Helper()
		log, err := os.OpenFile(filepath.Join(p.root, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		cmd := p.command(append([]string{"/docker-entrypoint.sh"}, p.container.Args...)...)
		cmd.Stdout, cmd.Stderr = log, log
		if err := p.host.Do(cmd.Start); err != nil {
			t.Fatal(err)
		}
		stopped := false
		stop = func() {
			if stopped {
				return
			}
			stopped = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s: %v", p.root, err)
			}
			log.Close()
		}
		t.Cleanup(func() {
			stop()
			if t.Failed() {
				text, _ := os.ReadFile(log.Name())
				t.Logf("%s", text)
			}
		})
		return stop
	}
	ready := func(p *pod) string {
		t.Helper()
		out := ""
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			var err error
			if out, err = p.run(p.container.ReadinessProbe.Exec.Command...); err == nil {
				return out
			}
		}
		t.Fatalf("not ready: %s", out)
		return ""
	}
	set := func(objects map[string]object) int { return objects["StatefulSet/quoll"].Spec.Replicas }
	if set(three) != 3 || set(five) != 5 {
		t.Fatalf("%d and %d members", set(three), set(five))
	}

	install := func(objects map[string]object) (pods []*pod, stop func()) {
		t.Helper()
		var stops []func()
		for i := range 3 {
			pods = append(pods, newPod(objects, "StatefulSet/quoll", i))
			stops = append(stops, start(pods[i]))
		}
		for _, p := range pods {
			ready(p)
		}
		return pods, func() {
			for _, stop := range stops {
				stop()
			}
		}
	}
	_, uninstall := install(three)
	uninstall()

	// Before it was made larger the ensemble had three members.
	lines := strings.Fields(five["ConfigMap/quoll"].Data["servers"])
	before := map[string]object{"StatefulSet/quoll": five["StatefulSet/quoll"], "ConfigMap/quoll": {Data: map[string]string{"servers": strings.Join(lines[:3], " ")}}}
	pods, _ := install(before)
	stop := func() {}
	for i := 3; i < 5; i++ {
		pods = append(pods, newPod(five, "StatefulSet/quoll", i))
		stop = start(pods[i])
	}
	for i := range 5 {
		job := newPod(five, fmt.Sprint("Job/quoll-join-", i), 0)
		if out, err := job.run(job.container.Command...); err != nil {
			t.Fatalf("%q: %v: %s", job.container.Command, err, out)
		}
	}
	members := func(want int) {
		t.Helper()
		out, err := pods[0].run("quoll", "cli", "config")
		if err != nil || strings.Count(out, ":participant;") != want {
			t.Fatalf("not %d members: %v: %s", want, err, out)
		}
	}
	members(5)
	leave := newPod(five, "Job/quoll-leave", 0)
	if out, err := leave.run(leave.container.Command...); err != nil || !strings.Contains(out, "no server above 4 is a member") {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := leave.run("quoll", "leave", "--server", "quoll:2281", "3"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	members(4)
	stop()
	start(pods[4])
	if mode := ready(pods[4]); mode != "Mode: follower\n" && mode != "Mode: leader\n" {
		t.Error(mode)
	}
	members(4)
	// Nobody from outside speaks plain text.
	if conn, err := network.Hosts[0].Dial(t.Context(), net.JoinHostPort(network.Hosts[1].Addr(), "2181")); err == nil {
		conn.Close()
		t.Error("the plain port is open")
	}
	text, err := os.ReadFile(filepath.Join(pods[4].root, "data/conf/zoo.cfg"))
	if err != nil || !strings.Contains(string(text), "dynamicConfigFile=/data/conf/zoo.cfg.dynamic.") {
		t.Errorf("zoo.cfg of a member that joined: %v: %s", err, text)
	}
}
