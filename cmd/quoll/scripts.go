package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"quoll/config/properties"
)

// aliases are names under which the binary is a command, so that a link can stand in for a script of ZooKeeper. Each makes the words of the
// command out of the script's arguments.
var aliases = map[string]func(args []string) ([]string, error){
	"zkCli.sh":                             zkCli,
	"zkCleanup.sh":                         cleanup,
	"zkServer.sh":                          as("zkServer.sh"),
	"zkServer-initialize.sh":               as("zkServer-initialize.sh"),
	"zkSnapShotToolkit.sh":                 as("snapshot", "print"),
	"zkSnapshotComparer.sh":                as("snapshot", "compare"),
	"zkSnapshotRecursiveSummaryToolkit.sh": as("snapshot", "summarize"),
	"zkTxnLogToolkit.sh":                   txnLogToolkit,
}

// imageScripts are names of scripts of images under which the binary is the command of that name. Outside of an image nobody wants them.
var imageScripts = []string{"docker-entrypoint.sh", "entrypoint.sh", "run.sh"}

// as puts the words of a command in front of arguments that it understands.
func as(command ...string) func([]string) ([]string, error) {
	return func(args []string) ([]string, error) { return slices.Concat(command, args), nil }
}

// zkCli takes the environment of the script over: java.env may name the client's JAAS file and stores.
func zkCli(args []string) ([]string, error) {
	_, _, err := newScript("zkCli.sh", nil)
	return slices.Concat([]string{"cli"}, args), err
}

// scriptsCommand makes the links.
func scriptsCommand() *cli.Command {
	return &cli.Command{
		Name:      "scripts",
		Usage:     "make links to this binary with the names of ZooKeeper's scripts",
		ArgsUsage: "DIR",
		Description: "Under the name of a script the binary takes the script's arguments and environment, so what calls zkServer.sh or zkCli.sh goes on. DIR is made if\n" +
			"it is not there; what has such a name in it already is left alone, and is an error unless it is a link to this binary.\n" +
			"Exit codes: 0 the links are there, 1 some are not, 2 wrong arguments.\n\n" +
			"Example:\n" +
			"   quoll scripts /opt/quoll/bin",
		Action: func(ctx *cli.Context) error {
			if ctx.NArg() != 1 {
				return usage("a directory is needed")
			}
			binary, err := os.Executable()
			if err != nil {
				return err
			}
			return makeLinks(ctx.Args().First(), binary)
		},
	}
}

func makeLinks(dir, binary string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(aliases)) {
		link := filepath.Join(dir, name)
		if target, err := filepath.EvalSymlinks(link); err == nil && target == binary {
			continue
		}
		all = append(all, os.Symlink(binary, link))
	}
	return errors.Join(all...)
}

// script is the environment of one of ZooKeeper's scripts, as bin/zkEnv.sh makes it.
type script struct {
	path    string // of the script, as it was called
	env     map[string]string
	cfg     string // path of zoo.cfg
	prefix  string // the directory above that of the script
	confDir string
}

// newScript finds the configuration of the script that this process was called as, and takes over what zookeeper-env.sh and java.env in its directory set.
// It returns the arguments that are left after --config DIR. A name among them that is no path is one in that directory.
func newScript(name string, args []string) (*script, []string, error) {
	s := &script{path: scriptPath(name), env: map[string]string{}}
	for _, pair := range os.Environ() {
		key, value, _ := strings.Cut(pair, "=")
		s.env[key] = value
	}
	bin, err := filepath.Abs(filepath.Dir(s.path))
	if err != nil {
		return nil, nil, err
	}
	s.prefix = filepath.Dir(bin)
	s.confDir = s.env["ZOOCFGDIR"]
	if len(args) > 1 && args[0] == "--config" {
		s.confDir, args = args[1], args[2:]
	}
	if s.confDir == "" {
		s.confDir = filepath.Join(s.prefix, "conf")
		if _, err := os.Stat(s.confDir); err != nil {
			s.confDir = filepath.Join(s.prefix, "etc", "zookeeper")
		}
	}
	s.env["ZOOCFGDIR"], s.env["ZOOBINDIR"], s.env["ZOOKEEPER_PREFIX"] = s.confDir, bin, s.prefix
	if err := s.source("zookeeper-env.sh"); err != nil {
		return nil, nil, err
	}
	s.cfg = filepath.Join(s.confDir, cmp.Or(s.env["ZOOCFG"], "zoo.cfg"))
	if err := s.source("java.env"); err != nil {
		return nil, nil, err
	}
	for key, value := range s.env {
		if err := os.Setenv(key, value); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return s, args, nil
}

// scriptPath is the path under which the process was started. A shell that found it in PATH gave its name alone.
func scriptPath(name string) string {
	called := os.Args[0]
	if filepath.Base(called) != name {
		return name // quoll NAME
	}
	if found, err := exec.LookPath(called); err == nil {
		return found
	}
	return called
}

// choose takes a configuration other than zoo.cfg: a name in the configuration directory, or a path.
func (s *script) choose(file string) {
	switch {
	case file == "":
	case strings.Contains(file, "/"):
		s.cfg = file
	default:
		s.cfg = filepath.Join(s.confDir, file)
	}
}

// source runs a shell file of the configuration directory, if it is there, and takes over the variables that it sets. The shell is our own: an image need not have one.
func (s *script) source(name string) error {
	path := filepath.Join(s.confDir, name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	program, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(f, path)
	if err != nil {
		return err
	}
	var pairs []string
	for key, value := range s.env {
		pairs = append(pairs, key+"="+value)
	}
	shell, err := interp.New(interp.Env(expand.ListEnviron(pairs...)), interp.StdIO(os.Stdin, os.Stdout, os.Stderr))
	if err != nil {
		return err
	}
	// The status of a file is that of its last command, and no matter to who sources it.
	if err := shell.Run(context.Background(), program); err != nil {
		if status := interp.ExitStatus(0); !errors.As(err, &status) {
			return err
		}
	}
	for key, v := range shell.Vars {
		switch {
		case !v.IsSet():
			delete(s.env, key)
		case v.Kind == expand.String && !v.ReadOnly && !slices.Contains(shellsOwn, key):
			s.env[key] = v.String()
		}
	}
	return nil
}

// shellsOwn are variables that the shell sets for itself.
var shellsOwn = []string{"HOME", "PWD", "OLDPWD", "IFS", "OPTIND", "UID", "EUID", "GID", "PPID", "SHLVL", "DIRSTACK"}

// settings reads the keys of zoo.cfg without judging them: a script works with a configuration that the server refuses. A file that cannot be read has none.
func (s *script) settings() map[string]string { return fileSettings(s.cfg) }

func fileSettings(path string) map[string]string {
	all := map[string]string{}
	data, err := os.ReadFile(path)
	if err != nil {
		return all
	}
	lines, err := properties.Parse(properties.Latin1(data))
	if err != nil {
		return all
	}
	for _, l := range lines {
		all[l.Key] = l.Value
	}
	return all
}

// say prints a line on the standard error, where the scripts put what is not for programs.
func say(w io.Writer, format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
