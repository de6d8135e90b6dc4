package peer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// ErrMissing is the error of a peer that is not on this machine: it was never fetched, or the
// JVM that runs it is not installed.
var ErrMissing = errors.New("peer is missing")

// root is the directory of go.mod, found from the working directory.
var root = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", errors.New("the working directory is not inside the quoll module")
	}
	return filepath.Dir(mod), nil
})

// Path is the directory of a fetched peer, one of the names in scripts/peers. The error wraps
// ErrMissing if it is not there.
func Path(name string) (string, error) {
	cache := os.Getenv("QUOLL_PEERS")
	if cache == "" {
		dir, err := root()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(dir, ".peers")
	}
	path := filepath.Join(cache, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: %s; scripts/fetch-peers.sh %s brings it", ErrMissing, path, name)
	}
	return filepath.Abs(path)
}

// Classpath is the argument of java -cp for a fetched peer, the given directories of classes
// in front. The error wraps ErrMissing if the peer or the JVM is not there.
func Classpath(name string, dirs ...string) (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("%w: no java in PATH", ErrMissing)
	}
	path, err := Path(name)
	if err != nil {
		return "", err
	}
	entries := append(dirs, filepath.Join(path, "conf"), filepath.Join(path, "lib", "*"))
	return strings.Join(entries, string(os.PathListSeparator)), nil
}

// Compile compiles the Java source files against a fetched peer into the directory out.
func Compile(name, out string, sources ...string) error {
	if _, err := exec.LookPath("javac"); err != nil {
		return fmt.Errorf("%w: no javac in PATH", ErrMissing)
	}
	cp, err := Classpath(name)
	if err != nil {
		return err
	}
	args := append([]string{"-nowarn", "-proc:none", "-cp", cp, "-d", out}, sources...)
	if msg, err := exec.Command("javac", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("javac: %w\n%s", err, msg)
	}
	return nil
}

// binary is the path of the quoll under test, built once for each process that asks.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("QUOLL_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	dir, err := root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	// Test binaries of several packages may build at the same time; each renames its own
	// into place, and servers that run keep the file they were started from.
	mine := filepath.Join(bin, fmt.Sprintf(".quoll.%d", os.Getpid()))
	defer os.Remove(mine)
	cmd := exec.Command("go", "build", "-o", mine, "./cmd/quoll")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/quoll: %w\n%s", err, msg)
	}
	path := filepath.Join(bin, "quoll")
	return path, os.Rename(mine, path)
})

// Binary is the path of the quoll under test: $QUOLL_BINARY, or one built from this tree once for
// each process that asks.
func Binary() (string, error) { return binary() }
