package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigCheckAsksMembers: the settings of another member are compared, those of the word conf and those that its AdminServer tells.
func TestConfigCheckAsksMembers(t *testing.T) {
	client, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("there is no second loopback address: ", err)
	}
	defer client.Close()
	admin, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	dir := t.TempDir()
	members := fmt.Sprintf("server.1=127.0.0.1:1:2;127.0.0.1:1\nserver.2=127.0.0.2:1:2;%s\n", client.Addr())
	cfg := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("dataDir=%s\ntickTime=2000\ninitLimit=5\nsyncLimit=2\nadmin.serverPort=%d\nenforceQuota=true\n%s", dir, admin.Addr().(*net.TCPAddr).Port, members)
	if err := errors.Join(os.WriteFile(cfg, []byte(text), 0o644), os.WriteFile(filepath.Join(dir, "myid"), []byte("1"), 0o644)); err != nil {
		t.Fatal(err)
	}
	conf, id, properties := map[string]string{}, 2, map[string]string{}
	go func() {
		for {
			c, err := client.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 4))
			for _, key := range []string{"tickTime", "maxClientCnxns", "minSessionTimeout", "maxSessionTimeout", "initLimit", "syncLimit"} {
				fmt.Fprintf(c, "%s=%s\n", key, conf[key])
			}
			fmt.Fprintf(c, "membership: \n%s:participant\n%s:participant\nversion=0\n", strings.SplitN(members, ";", 2)[0], strings.Split(strings.Split(members, "\n")[1], ";")[0])
			_ = c.Close()
		}
	}()
	go func() {
		_ = http.Serve(admin, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/commands/configuration" {
				fmt.Fprintf(w, `{"server_id": %d, "command": "configuration"}`, id)
				return
			}
			_ = json.NewEncoder(w).Encode(properties)
		}))
	}()
	for _, tt := range []struct {
		tick, property string
		id, code       int
		want           string
	}{
		{"2000", "true", 2, 0, "has the same settings"},
		{"3000", "true", 2, exitError, "has tickTime 3000, this file 2000: initLimit"},
		{"2000", "false", 2, exitError, "has enforceQuota false, this file true: who leads"},
		{"2000", "false", 3, 0, "that of another server"},
	} {
		conf = map[string]string{"tickTime": tt.tick, "maxClientCnxns": "60", "minSessionTimeout": "4000", "maxSessionTimeout": "40000", "initLimit": "5", "syncLimit": "2"}
		id, properties = tt.id, map[string]string{"zookeeper.enforceQuota": tt.property, "java.version": "17"}
		var out bytes.Buffer
		err := run([]string{"quoll", "config", "check", "--ensemble", cfg}, nil, &out)
		var f failure
		if errors.As(err, &f); f.code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%+v: %v\n%s", tt, err, &out)
		}
	}
}

// TestConfigCheckExplainsTracing: the variables of OpenTelemetry are settings too, and one that ends a start is an error.
func TestConfigCheckExplainsTracing(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5000")
	t.Setenv("OTEL_PROPAGATORS", "b3")
	const timeout = "environment: OTEL_EXPORTER_OTLP_TIMEOUT=5000\n"
	for _, tt := range []struct{ enabled, want string }{
		{"false", timeout + "    NO EFFECT: tracing.enabled is false\n    Milliseconds that a request to the collector may take.\n    Default: 10000\n"},
		{"true", timeout + "    Milliseconds that a request to the collector may take.\n    Default: 10000\nenvironment: OTEL_PROPAGATORS=b3\n    NO EFFECT: ZooKeeper's protocol"},
	} {
		cfg := filepath.Join(t.TempDir(), "zoo.cfg")
		if err := os.WriteFile(cfg, []byte("clientPort=0\ndataDir="+filepath.Dir(cfg)+"/data\ntracing.enabled="+tt.enabled+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		check := func() (string, error) {
			var out strings.Builder
			err := run([]string{"quoll", "config", "check", cfg}, nil, &out)
			return out.String(), err
		}
		if out, err := check(); err != nil || !strings.Contains(out, tt.want) {
			t.Errorf("%v, and no\n%sin\n%s", err, tt.want, out)
		}
		t.Setenv("OTEL_TRACES_SAMPLER", "some")
		var f failure
		if _, err := check(); (tt.enabled == "true") != (errors.As(err, &f) && f.code == exitInvocation) {
			t.Errorf("tracing.enabled=%s: %v", tt.enabled, err)
		}
		t.Setenv("OTEL_TRACES_SAMPLER", "")
	}
}
