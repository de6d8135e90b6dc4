package compat

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quoll/compat/peer"
)

// TestJavaClient runs compat/javaclient, the Java client's and Curator's view of a server.
func TestJavaClient(t *testing.T) {
	t.Parallel()
	peer.Require(t, "curator")
	sources, err := filepath.Glob("javaclient/*.java")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	classes := t.TempDir()
	peer.Check(t, peer.Compile("curator", classes, sources...))
	classpath, err := peer.Classpath("curator", classes, "javaclient")
	peer.Check(t, err)

	opts := peer.Options{
		Config: []string{"extendedTypesEnabled=true"},
		Flags:  []string{"-Dznode.container.checkIntervalMs=200"},
	}
	peer.Each(t, opts, func(t *testing.T, s *peer.Server) {
		cmd := exec.CommandContext(t.Context(), "java", "-Xmx256m", "-cp", classpath, "Main", s.Addr())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		checks := 0
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			switch verdict, name, _ := strings.Cut(lines.Text(), " "); verdict {
			case "ok":
				checks++
				t.Log(lines.Text())
			case "FAIL":
				checks++
				t.Error(lines.Text())
			case "do":
				answer := "done"
				if err := act(s, name); err != nil {
					answer = strings.ReplaceAll(err.Error(), "\n", " ")
				}
				fmt.Fprintln(stdin, answer)
			default:
				t.Errorf("the program prints %q", lines.Text())
			}
		}
		err = cmd.Wait()
		if err == nil && checks == 0 {
			t.Error("the program checks nothing")
		}
		if err != nil && !t.Failed() {
			t.Errorf("the program ends with %v", err)
		}
		if t.Failed() {
			t.Logf("its stderr:\n%s", &stderr)
		}
	})
}

// act does what the Java program asks for.
func act(s *peer.Server, what string) error {
	if what != "restart" {
		return fmt.Errorf("no such request: %s", what)
	}
	if err := s.Kill(); err != nil {
		return err
	}
	return s.Start()
}
