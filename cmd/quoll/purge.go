package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"quoll/txnlog"
)

// purgeCommand is PurgeTxnLog.
func purgeCommand() *cli.Command {
	return &cli.Command{
		Name:      "purge",
		Usage:     "remove the snapshots and logs that the newest snapshots do not need, as zkCleanup.sh does",
		ArgsUsage: "dataLogDir [snapDir] -n count",
		Description: "count is the number of snapshots to keep, at least 3. The directories are those above version-2. Under the name zkCleanup.sh the\n" +
			"directories may be left out: then they are those of zoo.cfg, which is found as zkServer.sh finds it.\n" +
			"Exit codes: 0 fine, 1 wrong arguments or an error, as in ZooKeeper.\n\n" +
			"Example:\n" +
			"   quoll purge /var/lib/zookeeper -n 3",
		SkipFlagParsing: true,
		Action:          purge,
	}
}

// purgeUsage is the error of wrong arguments; Java's exit code for them is 1 here.
func purgeUsage(problem string) error {
	return fmt.Errorf("%s\nusage: quoll purge dataLogDir [snapDir] -n count\n\tcount: the number of snapshots to keep, at least %d", problem, txnlog.MinRetain)
}

func purge(ctx *cli.Context) error {
	args := ctx.Args().Slice()
	if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
		return cli.ShowSubcommandHelp(ctx)
	}
	if len(args) < 3 || len(args) > 4 || args[len(args)-2] != "-n" {
		return purgeUsage("wrong arguments")
	}
	count, err := strconv.ParseInt(args[len(args)-1], 10, 32)
	switch {
	case err != nil:
		return purgeUsage(fmt.Sprintf("%q can not be parsed to integer.", args[len(args)-1]))
	case count < txnlog.MinRetain:
		return purgeUsage(fmt.Sprintf("count should be greater than or equal to %d", txnlog.MinRetain))
	}
	dirs := args[:len(args)-2]
	for _, dir := range dirs {
		if !isDir(dir) {
			return purgeUsage(fmt.Sprintf("Path '%s' does not exist.", dir))
		}
	}
	snapDir, logDir, err := txnlog.PrepareDirs(txnlog.OS, dirs[len(dirs)-1], dirs[0], true)
	if err != nil {
		return err
	}
	times, err := modificationTimes(snapDir, logDir)
	if err != nil {
		return err
	}
	removed, err := txnlog.Purge(txnlog.OS, logDir, snapDir, int(count))
	for _, file := range removed {
		fmt.Fprintf(ctx.App.Writer, "Removing file: %s\t%s\n", times[file].Format("Jan 2, 2006, 3:04:05 PM"), file)
	}
	return err
}

// modificationTimes are those of all files in some directories, by path.
func modificationTimes(dirs ...string) (map[string]time.Time, error) {
	times := map[string]time.Time{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			info, err := e.Info()
			if errors.Is(err, os.ErrNotExist) {
				continue // a server purges as well
			} else if err != nil {
				return nil, err
			}
			times[filepath.Join(dir, e.Name())] = info.ModTime()
		}
	}
	return times, nil
}

// cleanup puts the directories of zoo.cfg in front of the arguments of zkCleanup.sh, as the script does, unless there are some.
func cleanup(args []string) ([]string, error) {
	s, args, err := newScript("zkCleanup.sh", args)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 || args[0] != "-n" {
		return append([]string{"purge"}, args...), nil
	}
	settings := s.settings()
	dataDir, logDir := settings["dataDir"], settings["dataLogDir"]
	if dataDir == "" {
		return nil, failure{exitInvocation, fmt.Errorf("%s has no dataDir", s.cfg)}
	}
	dirs := []string{"purge", cmp.Or(logDir, dataDir)}
	if logDir != "" && logDir != dataDir {
		dirs = append(dirs, dataDir)
	}
	return append(dirs, args...), nil
}
