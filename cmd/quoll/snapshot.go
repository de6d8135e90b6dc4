package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"quoll/config"
	"quoll/inspect"
	"quoll/txnlog"
)

// snapshotCommand is what SnapshotFormatter, SnapshotComparer and SnapshotRecursiveSummary do, and more.
func snapshotCommand() *cli.Command {
	return &cli.Command{
		Name:  "snapshot",
		Usage: "print, verify, compare, summarize and write snapshots",
		Description: "Examples:\n" +
			"   quoll snapshot verify /var/lib/zookeeper\n" +
			"   quoll snapshot write --data-dir /var/lib/zookeeper",
		Subcommands: []*cli.Command{
			{
				Name:      "print",
				Usage:     "print every znode and session, as zkSnapShotToolkit.sh does",
				ArgsUsage: "FILE",
				Description: "Znodes come in the order of the file. Times are in the local time zone; TZ=UTC changes that. --json is the format of ncdu.\n" +
					"Exit codes: 0 fine, 1 damage, 2 wrong arguments.\n\n" +
					"Examples:\n" +
					"   quoll snapshot print /var/lib/zookeeper/version-2/snapshot.1a\n" +
					"   quoll snapshot print --json /var/lib/zookeeper/version-2/snapshot.1a",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "d", Usage: "print the data of each znode, in Base64"},
					&cli.BoolFlag{Name: "json", Usage: "print paths and sizes as JSON"},
				},
				Action: snapshotPrint,
			},
			{
				Name:      "verify",
				Usage:     "check structure, checksums and digest",
				ArgsUsage: "FILE|DIR...",
				Description: "A directory is a version-2 directory or the one above it, and stands for all snapshots in it. One line for each.\n" +
					"Exit codes: 0 fine, 1 damage, 2 wrong arguments.\n\n" +
					"Example:\n" +
					"   quoll snapshot verify /var/lib/zookeeper",
				Action: snapshotVerify,
			},
			{
				Name:  "compare",
				Usage: "print the znodes that differ in size between two snapshots, as zkSnapshotComparer.sh does",
				Description: "With --interactive an empty line shows the next layer, a number the layer of that depth, a path what is right below it.\n" +
					"Exit codes: 0 compared, 1 damage, 2 wrong arguments.\n\n" +
					"Example:\n" +
					"   quoll snapshot compare --left snapshot.0 --right snapshot.1a --bytes 1000 --nodes 10",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "left", Aliases: []string{"l"}, Usage: "the left snapshot `FILE`; needed"},
					&cli.StringFlag{Name: "right", Aliases: []string{"r"}, Usage: "the right snapshot `FILE`; needed"},
					&cli.Int64Flag{Name: "bytes", Aliases: []string{"b"}, Usage: "print a znode if its data and all below it differ by more `BYTES`; needed"},
					&cli.Int64Flag{Name: "nodes", Aliases: []string{"n"}, Usage: "print a znode if more `NODES` below it differ; needed"},
					&cli.BoolFlag{Name: "debug", Aliases: []string{"d"}, Usage: "print every step"},
					&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "ask what to show"},
				},
				Action: snapshotCompare,
			},
			{
				Name:      "summarize",
				Usage:     "print how much is below a znode, as zkSnapshotRecursiveSummaryToolkit.sh does",
				ArgsUsage: "FILE PATH DEPTH",
				Description: "DEPTH is how many levels below PATH are printed, 0 for all; what is counted does not depend on it.\n" +
					"Exit codes: 0 fine, 1 damage or no such znode, 2 wrong arguments.\n\n" +
					"Example:\n" +
					"   quoll snapshot summarize /var/lib/zookeeper/version-2/snapshot.1a /app 2",
				Action: snapshotSummarize,
			},
			snapshotWriteCommand(),
		},
		Action: unknownSubcommand,
	}
}

func snapshotPrint(ctx *cli.Context) error {
	switch {
	case ctx.NArg() != 1:
		return usage("quoll snapshot print needs one file")
	case ctx.Bool("d") && ctx.Bool("json"):
		return usage("Cannot specify both data dump (-d) and json mode (-json) in same call")
	case !isFile(ctx.Args().First()):
		return usage("%s is no file", ctx.Args().First())
	case ctx.Bool("json"):
		return inspect.PrintSnapshotJSON(ctx.App.Writer, ctx.Args().First(), time.Now(), inspect.Options{})
	}
	return inspect.PrintSnapshot(ctx.App.Writer, ctx.Args().First(), ctx.Bool("d"), inspect.Options{})
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

func snapshotVerify(ctx *cli.Context) error {
	if ctx.NArg() == 0 {
		return usage("quoll snapshot verify needs a file or a directory")
	}
	damaged := false
	for _, arg := range ctx.Args().Slice() {
		files := []txnlog.NamedFile{{Path: arg}}
		if isDir(arg) {
			var err error
			if files, err = txnlog.Snapshots(txnlog.OS, versionDir(arg)); err != nil {
				return err
			}
		}
		for _, f := range files {
			fs, reads, done := progress("reading " + f.Path)
			reads(sizeOf(f.Path))
			verdict, err := inspect.VerifySnapshot(f.Path, inspect.Options{FS: fs})
			done()
			if err != nil {
				damaged = true
				fmt.Fprintln(ctx.App.Writer, err)
				continue
			}
			fmt.Fprintln(ctx.App.Writer, verdict)
		}
	}
	if damaged {
		return failure{code: exitError}
	}
	return nil
}

func snapshotCompare(ctx *cli.Context) error {
	for _, name := range []string{"left", "right", "bytes", "nodes"} {
		if !ctx.IsSet(name) {
			return usage("quoll snapshot compare needs --%s", name)
		}
	}
	c := inspect.Comparison{
		Left: ctx.String("left"), Right: ctx.String("right"), Bytes: ctx.Int64("bytes"), Nodes: ctx.Int64("nodes"), Debug: ctx.Bool("debug"),
	}
	if ctx.Bool("interactive") {
		c.Input = ctx.App.Reader
	}
	fmt.Fprintln(ctx.App.Writer, "Successfully parsed options!")
	return inspect.CompareSnapshots(ctx.App.Writer, c, inspect.Options{})
}

func snapshotSummarize(ctx *cli.Context) error {
	if ctx.NArg() != 3 {
		return usage("quoll snapshot summarize needs a file, a path and a depth")
	}
	depth, err := strconv.ParseInt(ctx.Args().Get(2), 10, 32)
	if err != nil {
		return usage("the depth %q is no number", ctx.Args().Get(2))
	}
	return inspect.Summarize(ctx.App.Writer, ctx.Args().First(), ctx.Args().Get(1), int(depth), inspect.Options{})
}

func snapshotWriteCommand() *cli.Command {
	return &cli.Command{
		Name:      "write",
		Usage:     "write a snapshot of a server's state as it is now",
		ArgsUsage: "[zoo.cfg]",
		Description: "A running server is asked over the socket quoll/control in its dataDir and writes the file itself. For a stopped one the data directory\n" +
			"is read, which changes nothing in it but the new file.\n" +
			"Exit codes: 0 written, 1 failed, 2 wrong arguments or configuration.\n\n" +
			"Examples:\n" +
			"   quoll snapshot write /etc/zookeeper/conf/zoo.cfg\n" +
			"   quoll snapshot write --data-dir /var/lib/zookeeper --to /backup/now.gz",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data-dir", Usage: "data `DIR`, in place of zoo.cfg's"},
			&cli.StringFlag{Name: "data-log-dir", Usage: "`DIR` of the logs, in place of zoo.cfg's"},
			&cli.StringFlag{Name: "to", Usage: "the `FILE` to write, compressed if it ends in .gz or .snappy; without it a snapshot in the data directory"},
		},
		Action: snapshotWrite,
	}
}

// dataDirs are dataDir and dataLogDir as arguments and flags say, and how snapshots are compressed there.
func dataDirs(ctx *cli.Context) (dataDir, logDir string, c txnlog.Compression, err error) {
	switch {
	case ctx.NArg() == 1:
		cfg, _, err := config.Load(config.Sources{File: ctx.Args().First()})
		if err != nil {
			return "", "", "", failure{exitInvocation, err}
		}
		dataDir, logDir, c = cfg.DataDir, cfg.DataLogDir, txnlog.Compression(cfg.SnapshotCompression)
	case ctx.NArg() > 1 || ctx.String("data-dir") == "":
		return "", "", "", usage("%s needs zoo.cfg or --data-dir", ctx.Command.HelpName)
	}
	if dir := ctx.String("data-dir"); dir != "" {
		dataDir, logDir = dir, dir
	}
	if dir := ctx.String("data-log-dir"); dir != "" {
		logDir = dir
	}
	return dataDir, logDir, c, nil
}

func snapshotWrite(ctx *cli.Context) error {
	dataDir, logDir, compression, err := dataDirs(ctx)
	if err != nil {
		return err
	}
	to := ctx.String("to")
	var zxid, file string
	var size int64
	if conn, err := dialControl(dataDir); err == nil {
		defer conn.Close()
		answer, err := askControl(conn, "snapshot")
		if err != nil {
			return err
		}
		words := strings.SplitN(answer, " ", 3)
		if len(words) < 3 {
			return fmt.Errorf("the server answered %q", answer)
		}
		zxid, file = words[0], words[2]
		if size, err = strconv.ParseInt(words[1], 10, 64); err != nil {
			return fmt.Errorf("the server answered %q", answer)
		}
		if to != "" {
			if err := copySnapshot(file, to); err != nil {
				return err
			}
			file = to
		}
	} else {
		t, err := inspect.LoadState(versionDir(dataDir), versionDir(logDir), inspect.Options{})
		if err != nil {
			return err
		}
		if file, size, err = inspect.WriteState(t, versionDir(dataDir), to, compression, inspect.Options{}); err != nil {
			return err
		}
		zxid = fmt.Sprintf("0x%x", t.LastZxid())
	}
	fmt.Fprintf(ctx.App.Writer, "written: %s, zxid %s, %d bytes\n", file, zxid, size)
	return nil
}

// copySnapshot copies the snapshot that a server has written.
func copySnapshot(from, to string) (err error) {
	if txnlog.SnapshotCompression(from) != txnlog.SnapshotCompression(to) {
		return fmt.Errorf("the server has written %s; the suffix of --to must be the same, because it tells readers the compression", from)
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.CreateTemp(filepath.Dir(to), "quoll-tmp.snapshot.")
	if err != nil {
		return err
	}
	if _, err = io.Copy(dst, src); err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err == nil {
		err = os.Rename(dst.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(dst.Name()))
	}
	return txnlog.OS.SyncDir(filepath.Dir(to))
}
