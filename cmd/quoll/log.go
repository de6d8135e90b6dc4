package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"quoll/inspect"
	"quoll/txnlog"
)

// logCommand is what TxnLogToolkit does, and more.
func logCommand() *cli.Command {
	return &cli.Command{
		Name:  "log",
		Usage: "print, verify, search and repair transaction logs",
		Description: "Examples:\n" +
			"   quoll log verify /var/lib/zookeeper\n" +
			"   quoll log find --path /app --recursive /var/lib/zookeeper",
		Subcommands: []*cli.Command{
			{
				Name:      "print",
				Usage:     "print every transaction, as zkTxnLogToolkit.sh does",
				ArgsUsage: "FILE...",
				Description: "A transaction with a wrong checksum is printed twice, first with \"CRC ERROR - \" in front. Times are in the local time zone; TZ=UTC changes that.\n" +
					"Exit codes: 0 fine, 1 damage, 2 wrong arguments.\n\n" +
					"Example:\n" +
					"   quoll log print /var/lib/zookeeper/version-2/log.1",
				Action: eachFile(func(ctx *cli.Context, file string) error {
					return inspect.PrintLog(ctx.App.Writer, file, inspect.Options{})
				}),
			},
			{
				Name:      "verify",
				Usage:     "check framing, checksums and the order of zxids",
				ArgsUsage: "FILE|DIR...",
				Description: "A directory is a version-2 directory or the one above it. Its logs are read in their order, and no zxid may be missing between them\n" +
					"unless its newest snapshot has it. An incomplete end of the newest log is no damage: a crash leaves it, and nothing in it was acknowledged.\n" +
					"Exit codes: 0 fine, 1 damage, 2 wrong arguments.\n\n" +
					"Example:\n" +
					"   quoll log verify /var/lib/zookeeper",
				Action: logVerify,
			},
			{
				Name:      "find",
				Usage:     "print the transactions that fulfil all conditions",
				ArgsUsage: "DIR|FILE...",
				Description: "From a directory, only the files are read that can hold such a transaction.\n" +
					"Exit codes: 0 found some or none, 1 damage, 2 wrong arguments.\n\n" +
					"Examples:\n" +
					"   quoll log find --zxid 0x100000001-0x1000000ff /var/lib/zookeeper\n" +
					"   quoll log find --path /app --recursive --time '2026-11-21 20:00..2026-11-21 20:30' /var/lib/zookeeper\n" +
					"   quoll log find --session 0x100000abd500000 /var/lib/zookeeper/version-2/log.1",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "zxid", Usage: "one `ZXID`, or a range A-B; A or B may be missing"},
					&cli.StringFlag{Name: "time", Usage: "the day, minute or second `T`, or a range A..B; local time, or RFC 3339"},
					&cli.StringFlag{Name: "path", Usage: "a znode that the transaction names"},
					&cli.BoolFlag{Name: "recursive", Usage: "also znodes below the path"},
					&cli.StringFlag{Name: "session", Usage: "the `ID` of the session that asked for it"},
				},
				Action: logFind,
			},
			{
				Name:      "repair",
				Usage:     "write a log that a server starts with",
				ArgsUsage: "FILE",
				Description: "Keeps every transaction up to the first that is damaged or missing, and all if only rubbish lies between them. The result is FILE.fixed, or\n" +
					"FILE.chopped<zxid> with --cut-at, and FILE is left as it is. With --in-place the result takes the place of FILE, of which a copy\n" +
					"damaged.* stays beside it; later logs that the mended one no longer reaches get such names too. What is given up is said before\n" +
					"anything is replaced. Stop the server first.\n" +
					"Exit codes: 0 written, 1 failed or refused, 2 wrong arguments.\n\n" +
					"Examples:\n" +
					"   quoll log repair /var/lib/zookeeper/version-2/log.1 --to mended\n" +
					"   quoll log repair /var/lib/zookeeper/version-2/log.1 --in-place --cut-at 0x1a2b",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "fix-crc", Usage: "keep transactions with a wrong checksum and compute it anew; asks for each without --yes"},
					&cli.StringFlag{Name: "cut-at", Usage: "keep everything up to and with this `ZXID`"},
					&cli.StringFlag{Name: "to", Usage: "the `FILE` to write"},
					&cli.BoolFlag{Name: "in-place", Usage: "replace the log; asks without --yes"},
					&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
					&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print every transaction kept, with --fix-crc"},
				},
				Action: logRepair,
			},
		},
		Action: unknownSubcommand,
	}
}

// unknownSubcommand is the action of a command that is nothing without one of its subcommands.
func unknownSubcommand(ctx *cli.Context) error {
	if name := ctx.Args().First(); name != "" {
		return usage("%s has no command %q; %[1]s --help lists them", ctx.Command.HelpName, name)
	}
	return cli.ShowSubcommandHelp(ctx)
}

// eachFile makes an action of what is done to each file argument. Damage of one does not keep the others from being looked at.
func eachFile(do func(*cli.Context, string) error) cli.ActionFunc {
	return func(ctx *cli.Context) error {
		if ctx.NArg() == 0 {
			return usage("%s needs a file", ctx.Command.HelpName)
		}
		var all []error
		for _, file := range ctx.Args().Slice() {
			if err := do(ctx, file); err != nil {
				all = append(all, err)
			}
		}
		return errors.Join(all...)
	}
}

// versionDir is dir, or the directory version-2 in it if there is one.
func versionDir(dir string) string {
	if inner := filepath.Join(dir, "version-2"); isDir(inner) {
		return inner
	}
	return dir
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// logSeries are logs of one server, and what lies beside them.
type logSeries struct {
	files  []txnlog.NamedFile
	beside inspect.Beside
}

// logArguments are the logs that arguments name: those of each directory, and all files together.
func logArguments(ctx *cli.Context) (list []logSeries, err error) {
	if ctx.NArg() == 0 {
		return nil, usage("%s needs a file or a directory", ctx.Command.HelpName)
	}
	var files logSeries
	var newest int64 // snapshot of any directory
	for _, arg := range ctx.Args().Slice() {
		if !isDir(arg) {
			files.files = append(files.files, txnlog.NamedFile{Path: arg, Zxid: txnlog.NameZxid(arg)})
			continue
		}
		dir := versionDir(arg)
		var s logSeries
		if s.files, err = txnlog.Logs(txnlog.OS, dir); err != nil {
			return nil, err
		}
		if snap, ok, err := txnlog.NewestSnapshot(txnlog.OS, dir); err != nil {
			return nil, err
		} else if ok {
			s.beside.Snapshot = snap.Zxid
			newest = max(newest, snap.Zxid)
		}
		if mark, ok, err := txnlog.ReadWatermark(txnlog.OS, dir); err != nil {
			return nil, err
		} else if ok {
			s.beside.Mark = &mark
		}
		list = append(list, s)
	}
	for i := range list {
		if list[i].beside.Snapshot == 0 { // a dataLogDir, whose snapshots are in the dataDir
			list[i].beside.Snapshot = newest
		}
	}
	if files.files != nil {
		list = append(list, files)
	}
	return list, nil
}

func logVerify(ctx *cli.Context) error {
	list, err := logArguments(ctx)
	if err != nil {
		return err
	}
	damaged := false
	for _, s := range list {
		var paths []string
		for _, f := range s.files {
			paths = append(paths, f.Path)
		}
		var lines bytes.Buffer // so that they do not come between the bar
		fs, reads, done := progress("reading logs")
		reads(sizeOf(paths...))
		report, err := inspect.VerifyLogs(&lines, paths, s.beside, inspect.Options{FS: fs})
		done()
		_, written := lines.WriteTo(ctx.App.Writer)
		err = errors.Join(err, written)
		if err != nil {
			return err
		}
		damaged = damaged || report.Damaged
	}
	if damaged {
		return failure{code: exitError}
	}
	return nil
}

func logFind(ctx *cli.Context) error {
	list, err := logArguments(ctx)
	if err != nil {
		return err
	}
	q := inspect.Query{Path: ctx.String("path"), Recursive: ctx.Bool("recursive")}
	if text := ctx.String("zxid"); text != "" {
		if q.From, q.To, err = inspect.ParseZxids(text); err != nil {
			return usage("--zxid: %w", err)
		}
	}
	if text := ctx.String("time"); text != "" {
		if q.Since, q.Until, err = inspect.ParseTimes(text, time.Local); err != nil {
			return usage("--time: %w", err)
		}
	}
	if text := ctx.String("session"); text != "" {
		id, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
		if err != nil {
			return usage("--session: %q is no session; write it as 0x100000abd500000", text)
		}
		session := int64(id)
		q.Session = &session
	}
	if q.Recursive && q.Path == "" {
		return usage("--recursive needs --path")
	}
	var damage []error
	for _, s := range list {
		_, err := inspect.FindLog(ctx.App.Writer, s.files, q, inspect.Options{})
		damage = append(damage, err)
	}
	return errors.Join(damage...)
}

func logRepair(ctx *cli.Context) error {
	if ctx.NArg() != 1 {
		return usage("quoll log repair needs one file")
	}
	file := ctx.Args().First()
	r := inspect.Repair{
		File: file, FixCRC: ctx.Bool("fix-crc"), To: ctx.String("to"), InPlace: ctx.Bool("in-place"), Verbose: ctx.Bool("verbose"), Now: time.Now(),
	}
	if text := ctx.String("cut-at"); text != "" {
		zxid, err := inspect.ParseZxid(text)
		if err != nil {
			return usage("--cut-at: %w", err)
		}
		r.CutAt = &zxid
	}
	switch {
	case r.FixCRC && r.CutAt != nil:
		return usage("--fix-crc and --cut-at exclude each other")
	case r.InPlace && r.To != "":
		return usage("--in-place and --to exclude each other")
	}
	if r.InPlace {
		abs, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		if c, err := dialControl(filepath.Dir(filepath.Dir(abs))); err == nil {
			_ = c.Close()
			return fmt.Errorf("a server is running on %s; stop it first", filepath.Dir(filepath.Dir(abs)))
		}
	}
	if !ctx.Bool("yes") {
		r.Ask = asker(ctx.App.Reader, ctx.App.Writer)
	}
	_, err := inspect.RepairLog(ctx.App.Writer, r, inspect.Options{})
	return err
}

// asker asks on w and reads answers from r, of which the first letter counts: yes, no or abort.
func asker(r io.Reader, w io.Writer) func(string) (bool, error) {
	in := bufio.NewScanner(r)
	return func(question string) (bool, error) {
		for {
			fmt.Fprint(w, question)
			if !in.Scan() {
				return false, errors.New("no answer; --yes answers every question")
			}
			switch answer := strings.ToUpper(strings.TrimSpace(in.Text())) + " "; answer[0] {
			case 'Y':
				return true, nil
			case 'N':
				return false, nil
			case 'A':
				//lint:ignore ST1005 the words of ZooKeeper's tool
				return false, errors.New("Recovery aborted.")
			}
		}
	}
}

// txnLogToolkit translates the arguments of zkTxnLogToolkit.sh, which commons-cli reads in Java.
func txnLogToolkit(args []string) ([]string, error) {
	long := map[string]string{"--help": "h", "--recover": "r", "--verbose": "v", "--dump": "d", "--yes": "y", "--chop": "c"}
	set := map[rune]bool{}
	var zxid string
	var files []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if value, ok := strings.CutPrefix(arg, "--zxid="); ok {
			zxid = value
		} else if (arg == "-z" || arg == "--zxid") && i+1 < len(args) {
			i++
			zxid = args[i]
		} else if letter, ok := long[arg]; ok {
			set[rune(letter[0])] = true
		} else if letters, ok := strings.CutPrefix(arg, "-"); ok && letters != "" && strings.Trim(letters, "dhrvcy") == "" {
			for _, letter := range letters {
				set[letter] = true
			}
		} else {
			files = append(files, arg)
		}
	}
	files = files[:min(len(files), 1)] // Java looks at the first alone
	switch {
	case set['h']:
		return []string{"log", "--help"}, nil
	case len(files) == 0:
		return nil, errors.New("zkTxnLogToolkit.sh [-dhrvc] <txn_log_file_name> (-z <zxid>)")
	case set['c'] && zxid != "":
		return slices.Concat([]string{"log", "repair", "--yes", "--cut-at", zxid, "--"}, files), nil
	case set['r']:
		words := []string{"log", "repair", "--fix-crc"}
		if set['y'] {
			words = append(words, "--yes")
		}
		if set['v'] {
			words = append(words, "--verbose")
		}
		return slices.Concat(words, []string{"--"}, files), nil
	}
	return slices.Concat([]string{"log", "print", "--"}, files), nil
}
