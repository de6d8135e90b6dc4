package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"quoll/backup"
	"quoll/config"
)

func backupCommand() *cli.Command {
	return &cli.Command{
		Name:      "backup",
		Usage:     "copy the data of a running server, quoll or Apache ZooKeeper",
		ArgsUsage: "[zoo.cfg]",
		Description: `Copies the newest good snapshot and all logs behind it into a directory, checked and complete, without a word to the server. Run again, it
copies what is new. quoll restore makes a data directory out of it, as it was at any transaction since the oldest snapshot.

Exit codes: 0 the backup is complete, 1 it could not be brought up to date and is as it was before, 2 wrong arguments or configuration.

Examples:
   quoll backup /etc/zookeeper/conf/zoo.cfg --to /backup/zk1
   quoll backup --data-dir /var/lib/zookeeper --to /backup/zk1
   quoll backup --data-dir /var/lib/zookeeper --to /backup/zk1 --follow --keep 7
   quoll backup list /backup/zk1
   quoll backup verify /backup/zk1`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data-dir", Usage: "data directory of the server, in place of zoo.cfg"},
			&cli.StringFlag{Name: "data-log-dir", Usage: "dataLogDir of the server, if it is another directory"},
			&cli.StringFlag{Name: "to", Usage: "`directory` of the backup, made if it is missing"},
			&cli.BoolFlag{Name: "follow", Usage: "stay, and ship what is new until SIGTERM or SIGINT"},
			&cli.DurationFlag{Name: "interval", Value: backup.DefaultInterval, Usage: "with --follow: how often the open log is looked at; a new log or snapshot is seen within a second"},
			&cli.IntFlag{Name: "keep", Usage: "keep the newest `N` snapshots and the logs that they need; 0 keeps everything"},
		},
		Subcommands: []*cli.Command{
			{
				Name:      "list",
				Usage:     "show what a backup has and to which transactions it can be restored",
				ArgsUsage: "directory",
				Description: "Exit codes: 0 shown, 1 it is no backup, 2 wrong arguments.\n\n" +
					"Example:\n" +
					"   quoll backup list /backup/zk1",
				Action: listBackup,
			},
			{
				Name:      "verify",
				Usage:     "read a whole backup: checksums, continuity, and digests by replay",
				ArgsUsage: "directory",
				Description: "Exit codes: 0 it is good, 1 it is not, 2 wrong arguments.\n\n" +
					"Example:\n" +
					"   quoll backup verify /backup/zk1",
				Action: verifyBackup,
			},
		},
		Action: runBackup,
	}
}

func runBackup(ctx *cli.Context) error {
	o := backup.Options{DataDir: ctx.String("data-dir"), DataLogDir: ctx.String("data-log-dir"), To: ctx.String("to"), Keep: ctx.Int("keep")}
	switch args := ctx.Args().Slice(); {
	case len(args) > 1:
		return usage("%q: one zoo.cfg, or list or verify", args)
	case o.To == "":
		return usage("--to is missing: the directory of the backup")
	case o.Keep < 0:
		return usage("--keep %d: a number of snapshots, 0 for all", o.Keep)
	case ctx.Duration("interval") <= 0:
		return usage("--interval %v: it must be above 0", ctx.Duration("interval"))
	case len(args) == 1 && (o.DataDir != "" || o.DataLogDir != ""):
		return usage("%s beside --data-dir or --data-log-dir: one says the same as the other", args[0])
	case len(args) == 1:
		cfg, _, err := config.Load(config.Sources{File: args[0], Env: os.Getenv})
		if err != nil {
			return failure{exitInvocation, err}
		}
		o.DataDir, o.DataLogDir, o.DynamicConfig = cfg.DataDir, cfg.DataLogDir, cfg.DynamicConfigFile
	case o.DataDir == "":
		return usage("neither zoo.cfg nor --data-dir says what to back up")
	}
	running, stop := untilStopped(context.Background())
	defer stop()
	if !ctx.Bool("follow") {
		fs, reads, done := progress("backing up " + o.DataDir)
		o.FS, o.Reads = fs, reads
		report, err := backup.Run(running, o)
		done()
		if err != nil {
			return failure{exitError, err}
		}
		for _, note := range report.Notes {
			fmt.Fprintln(ctx.App.ErrWriter, "quoll:", note)
		}
		fmt.Fprintf(ctx.App.Writer, "copied %d files, %d bytes; %s can be restored to %s\n", len(report.Copied), report.Bytes, o.To, rangesText(report.Manifest))
		return nil
	}
	log := slog.New(slog.NewTextHandler(ctx.App.ErrWriter, nil))
	var lastNotes []string
	err := backup.Follow(running, o, ctx.Duration("interval"), func(r *backup.Report, err error) {
		if err != nil {
			log.Error("the backup could not be brought up to date and is as it was before", "error", err)
			return
		}
		if !slices.Equal(r.Notes, lastNotes) {
			for _, note := range r.Notes {
				log.Warn(note)
			}
		}
		lastNotes = r.Notes
		if len(r.Copied) > 0 {
			log.Info("copied", "files", strings.Join(r.Copied, " "), "bytes", r.Bytes, "end", r.Manifest.End())
		}
	})
	if err != nil {
		return failure{code: exitError, err: err}
	}
	return nil
}

// rangesText says to which transactions a backup can be restored.
func rangesText(m *backup.Manifest) string {
	var texts []string
	for _, r := range m.Ranges() {
		texts = append(texts, fmt.Sprintf("%v to %v", r.From, r.To))
	}
	if len(texts) == 0 {
		return "no transaction"
	}
	return strings.Join(texts, ", ")
}

// backupDir is the one argument of list and verify.
func backupDir(ctx *cli.Context) (string, error) {
	if ctx.Args().Len() != 1 {
		return "", usage("%q: one directory of a backup", ctx.Args().Slice())
	}
	return ctx.Args().First(), nil
}

func listBackup(ctx *cli.Context) error {
	dir, err := backupDir(ctx)
	if err != nil {
		return err
	}
	m, err := backup.Load(nil, dir)
	if err != nil {
		return failure{exitError, err}
	}
	printBackup(ctx.App.Writer, m)
	return nil
}

func printBackup(out io.Writer, m *backup.Manifest) {
	fmt.Fprintf(out, "source   %s\nupdated  %s\nrestores %s\n\n", m.Source, m.Updated.Format(time.RFC3339), rangesText(m))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SNAPSHOT\tBYTES\tZNODES\tSERVES FROM\tDIGEST")
	for _, s := range m.Snapshots {
		fmt.Fprintf(w, "%s\t%d\t%d\t%v\t%s\n", s.Name, s.Size, s.Znodes, s.Through, digestText(s.Digest))
	}
	fmt.Fprintln(w, "\nLOG\tBYTES\tRECORDS\tFIRST\tLAST\tEARLIEST\tLATEST\tDIGEST")
	for _, l := range m.Logs {
		fmt.Fprintf(w, "%s\t%d\t%d\t%v\t%v\t%v\t%v\t%s\n", l.Name, l.Size, l.Records, l.First, l.Last, l.Earliest, l.Latest, digestText(l.Digest))
	}
	if len(m.Files) > 0 {
		fmt.Fprintln(w, "\nFILE\tBYTES")
		for _, f := range m.Files {
			fmt.Fprintf(w, "%s\t%d\n", f.Stored, f.Size)
		}
	}
	w.Flush()
}

func digestText(d *int64) string {
	if d == nil {
		return "-"
	}
	return fmt.Sprint(*d)
}

func verifyBackup(ctx *cli.Context) error {
	dir, err := backupDir(ctx)
	if err != nil {
		return err
	}
	running, stop := untilStopped(context.Background())
	defer stop()
	var bytes int64 // each is compared, and replayed
	if m, err := backup.Load(nil, dir); err == nil {
		for _, s := range m.Snapshots {
			bytes += 3 * s.Size
		}
		for _, l := range m.Logs {
			bytes += 2 * l.Size
		}
	}
	fs, reads, done := progress("reading " + dir)
	reads(bytes)
	problems, err := backup.Verify(running, fs, dir)
	done()
	if err != nil {
		return failure{exitError, err}
	}
	for _, problem := range problems {
		fmt.Fprintln(ctx.App.ErrWriter, "quoll:", problem)
	}
	if len(problems) > 0 {
		return failure{code: exitError, err: fmt.Errorf("%s: %d problems", dir, len(problems))}
	}
	m, err := backup.Load(nil, dir)
	if err != nil {
		return failure{exitError, err}
	}
	fmt.Fprintf(ctx.App.Writer, "%s is good: %d snapshots, %d logs; it can be restored to %s\n", dir, len(m.Snapshots), len(m.Logs), rangesText(m))
	return nil
}
