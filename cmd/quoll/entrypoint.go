package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

// entrypointCommand is docker-entrypoint.sh of ZooKeeper's image.
func entrypointCommand() *cli.Command {
	return &cli.Command{
		Name: "docker-entrypoint.sh", Usage: "the entry point of a container: zoo.cfg and myid from ZOO_* variables", Hidden: true, SkipFlagParsing: true, HideHelp: true,
		Action: func(ctx *cli.Context) error { return entrypoint(ctx.Args().Slice()) },
	}
}

// entrypoint writes zoo.cfg and myid if they are not there, and becomes the program that its arguments name. The variables have their defaults from the image, so one
// that is unset is empty.
func entrypoint(args []string) error {
	dataDir, logDir := os.Getenv("ZOO_DATA_DIR"), os.Getenv("ZOO_DATA_LOG_DIR")
	if len(args) > 0 && args[0] == "zkServer.sh" && os.Getuid() == 0 {
		if err := become("zookeeper", []string{dataDir, logDir, os.Getenv("ZOO_LOG_DIR")}); err != nil {
			return err
		}
	}
	confDir := os.Getenv("ZOO_CONF_DIR")
	if err := os.MkdirAll(confDir, 0o755); err != nil { // on a volume it is not there at first
		return err
	}
	cfg := filepath.Join(confDir, "zoo.cfg")
	if err := writeIfAbsent(cfg, zooCfg(os.Getenv)); err != nil {
		return err
	}
	id := os.Getenv("ZOO_MY_ID")
	if id == "" {
		id = "1"
	}
	if err := writeIfAbsent(filepath.Join(dataDir, "myid"), []byte(id+"\n")); err != nil {
		return err
	}
	return becomeProgram(args)
}

// becomeProgram becomes the program that a container's arguments name, as a shell would find it; without arguments there is nothing to run.
func becomeProgram(args []string) error {
	if len(args) == 0 {
		return nil
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return failure{127, err}
	}
	return replace(path, args, os.Environ())
}

// zooCfg is the file that ZooKeeper's image makes of its variables, byte for byte.
func zooCfg(getenv func(string) string) []byte {
	var b bytes.Buffer
	for _, key := range [][2]string{
		{"dataDir", "ZOO_DATA_DIR"}, {"dataLogDir", "ZOO_DATA_LOG_DIR"},
		{"tickTime", "ZOO_TICK_TIME"}, {"initLimit", "ZOO_INIT_LIMIT"}, {"syncLimit", "ZOO_SYNC_LIMIT"},
		{"autopurge.snapRetainCount", "ZOO_AUTOPURGE_SNAPRETAINCOUNT"}, {"autopurge.purgeInterval", "ZOO_AUTOPURGE_PURGEINTERVAL"},
		{"maxClientCnxns", "ZOO_MAX_CLIENT_CNXNS"}, {"standaloneEnabled", "ZOO_STANDALONE_ENABLED"}, {"admin.enableServer", "ZOO_ADMINSERVER_ENABLED"},
	} {
		fmt.Fprintf(&b, "%s=%s\n", key[0], getenv(key[1]))
	}
	servers := getenv("ZOO_SERVERS")
	if servers == "" {
		servers = "server.1=localhost:2888:3888;2181"
	}
	lines := strings.Fields(servers)
	if words := getenv("ZOO_4LW_COMMANDS_WHITELIST"); words != "" {
		lines = append(lines, "4lw.commands.whitelist="+words)
	}
	for _, line := range append(lines, strings.Fields(getenv("ZOO_CFG_EXTRA"))...) {
		fmt.Fprintln(&b, line)
	}
	return b.Bytes()
}

// writeIfAbsent makes a file unless there is one.
func writeIfAbsent(name string, content []byte) error {
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		return nil
	}
	return os.WriteFile(name, content, 0o644)
}
