package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

// initializeCommand is zkServer-initialize.sh.
func initializeCommand() *cli.Command {
	return &cli.Command{
		Name: "zkServer-initialize.sh", Usage: "the arguments and the environment of the script zkServer-initialize.sh", Hidden: true, SkipFlagParsing: true, HideHelp: true,
		Action: initialize,
	}
}

// initialize makes the directories of a new server. It removes what is in them with --force alone, and never what is quoll's own cache, which a server drops by itself.
func initialize(ctx *cli.Context) error {
	s, args, err := newScript("zkServer-initialize.sh", ctx.Args().Slice())
	if err != nil {
		return err
	}
	out := ctx.App.Writer
	stop := func(format string, args ...any) error {
		fmt.Fprintf(out, format+"\n", args...)
		return failure{code: exitError}
	}
	help := func() error {
		fmt.Fprintf(out, "usage: %s <parameters>\n  Optional parameters:\n", s.path)
		for _, option := range [][2]string{
			{"-h", "Display this message"}, {"--help", "Display this message"}, {fmt.Sprintf("--configfile=%-40s", s.cfg), "ZooKeeper config file"},
			{"--myid=#", "Set the myid to be used, if any (1-255)"}, {"--force", "Force creation of the data/txnlog dirs"},
		} {
			fmt.Fprintf(out, "     %-53s %s\n", option[0], option[1])
		}
		return failure{code: exitError}
	}
	var id string
	force := false
	for len(args) > 0 && args[0] != "" {
		name, value, joined := strings.Cut(args[0], "=")
		args = args[1:]
		wants := name == "--configfile" || name == "--myid"
		if wants && !joined && len(args) > 0 {
			value, args = args[0], args[1:]
		}
		switch {
		case name == "--configfile" && value != "":
			s.cfg = value
		case name == "--myid" && value != "":
			id = value
		case name == "--force" && !joined:
			force = true
		case name == "-h" && !joined, name == "--help" && !joined:
			return help()
		default:
			if joined {
				name += "=" + value
			}
			fmt.Fprintf(out, "Unknown option: %s\n", name)
			return help()
		}
	}
	if _, err := os.Stat(s.cfg); err != nil {
		return stop("Unable to find config file at %s", s.cfg)
	}
	settings := s.settings()
	if settings["dataDir"] == "" {
		return stop("Unable to determine dataDir from %s", s.cfg)
	}
	dirs := []struct{ what, path string }{{"data", settings["dataDir"]}}
	if log := settings["dataLogDir"]; log != "" {
		dirs = append(dirs, struct{ what, path string }{"txnlog", log})
	}
	if force {
		fmt.Fprintln(out, "Force enabled, data/txnlog directories will be re-initialized")
	} else {
		for _, dir := range dirs {
			if isDir(filepath.Join(dir.path, "version-2")) {
				return stop("ZooKeeper %s directory already exists at %s (or use --force to force re-initialization)", dir.what, dir.path)
			}
		}
	}
	for _, dir := range dirs {
		version := filepath.Join(dir.path, "version-2")
		if err := errors.Join(os.RemoveAll(filepath.Join(dir.path, "myid")), os.RemoveAll(version), os.MkdirAll(version, 0o755)); err != nil {
			return err
		}
	}
	myid := filepath.Join(settings["dataDir"], "myid")
	if id != "" {
		fmt.Fprintf(out, "Using myid of %s\n", id)
		if err := os.WriteFile(myid, []byte(id+"\n"), 0o644); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "No myid provided, be sure to specify it in %s if using non-standalone\n", myid)
	}
	mark, err := os.Create(filepath.Join(settings["dataDir"], "initialize"))
	if err != nil {
		return err
	}
	return mark.Close()
}
