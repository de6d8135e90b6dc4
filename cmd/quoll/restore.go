package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"quoll/backup"
)

func restoreCommand() *cli.Command {
	return &cli.Command{
		Name:  "restore",
		Usage: "make a data directory out of a backup, as it was at a transaction or a time",
		Description: `Makes a data directory on which quoll and Apache ZooKeeper start, and proves by replay that its digest is the recorded one. The server of
the directory must not be running. What was in it is kept beside it, as version-2.before-restore-N.

Exit codes: 0 restored, 1 not restored, 2 wrong arguments.

Examples:
   quoll restore --from /backup/zk1 --data-dir /var/lib/zookeeper
   quoll restore --from /backup/zk1 --data-dir /var/lib/zookeeper --force --zxid 0x1a2b
   quoll restore --from /backup/zk1 --data-dir /var/lib/zookeeper --time 2026-11-22T14:59:00Z`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "`directory` of the backup"},
			&cli.StringFlag{Name: "data-dir", Usage: "data directory to make"},
			&cli.StringFlag{Name: "data-log-dir", Usage: "dataLogDir to make, if it is another directory"},
			&cli.StringFlag{Name: "zxid", Usage: "last transaction to keep, such as 0x1a or 26; without it and --time the last of the backup"},
			&cli.StringFlag{Name: "time", Usage: "keep all up to the last transaction whose time, the leader's clock, is not later than this RFC 3339 `time`"},
			&cli.BoolFlag{Name: "force", Usage: "move what is in the directory aside"},
			&cli.BoolFlag{Name: "member", Usage: "put back myid and the epochs of a member of an ensemble"},
		},
		Action: runRestore,
	}
}

func runRestore(ctx *cli.Context) error {
	o := backup.RestoreOptions{From: ctx.String("from"), DataDir: ctx.String("data-dir"), DataLogDir: ctx.String("data-log-dir"), Force: ctx.Bool("force"), Member: ctx.Bool("member")}
	var err error
	switch {
	case ctx.Args().Present():
		err = fmt.Errorf("%q: only options, no arguments", ctx.Args().Slice())
	case o.From == "":
		err = errors.New("--from is missing: the directory of the backup")
	case o.DataDir == "":
		err = errors.New("--data-dir is missing: the directory to make")
	case ctx.IsSet("zxid") && ctx.IsSet("time"):
		err = errors.New("--zxid beside --time: one target")
	case ctx.IsSet("zxid"):
		o.Target.HasZxid = true
		if err = o.Target.Zxid.UnmarshalText([]byte(ctx.String("zxid"))); err != nil {
			err = fmt.Errorf("--zxid: %w", err)
		}
	case ctx.IsSet("time"):
		o.Target.HasTime = true
		if err = o.Target.Time.UnmarshalText([]byte(ctx.String("time"))); err != nil {
			err = fmt.Errorf("--time: %w", err)
		}
	}
	if err != nil {
		return failure{exitInvocation, err}
	}
	if c, err := dialControl(o.DataDir); err == nil {
		c.Close()
		return failure{exitError, fmt.Errorf("%s: a quoll server is running on it; stop it first", o.DataDir)}
	}
	running, stop := untilStopped(context.Background())
	defer stop()
	fs, reads, done := progress("restoring " + o.DataDir)
	o.FS, o.Reads = fs, reads
	r, err := backup.Restore(running, o)
	done()
	if err != nil {
		return failure{exitError, err}
	}
	for _, note := range r.Notes {
		fmt.Fprintln(ctx.App.ErrWriter, "quoll:", note)
	}
	at, verified := "at a time that no log has", "as the log has it"
	if r.Time != 0 {
		at = r.Time.String()
	}
	if !r.Verified {
		verified = "which the backup has no record of"
	}
	fmt.Fprintf(ctx.App.Writer, "restored %s\nzxid     %v\ntime     %s\ndigest   %d, %s\nznodes   %d\nsnapshot %s\n", o.DataDir, r.Zxid, at, r.Digest, verified, r.Znodes, r.Snapshot)
	for _, dir := range r.Aside {
		fmt.Fprintln(ctx.App.Writer, "aside   ", dir)
	}
	return nil
}
