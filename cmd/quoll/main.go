// Command quoll is a drop-in replacement for Apache ZooKeeper: `quoll server` takes the place of zkServer.sh, `quoll cli` that of
// zkCli.sh.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit codes, those of ZooKeeper's server (org.apache.zookeeper.server.ExitCode) where it has one.
const (
	exitError      = 1 // an error that nobody expected; a database that cannot be loaded
	exitInvocation = 2 // arguments or configuration
	exitDataDir    = 3 // the data directory cannot be used
)

// failure is an error with the exit code that it calls for. Without err there is nothing left to say.
type failure struct {
	code int
	err  error
}

func (f failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

func (f failure) Unwrap() error { return f.err }

// usage is an error of the arguments.
func usage(format string, args ...any) error {
	return failure{exitInvocation, fmt.Errorf(format, args...)}
}

// untilStopped ends with SIGTERM and SIGINT; a second one ends the process.
func untilStopped(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals) // before anybody knows of the first one
		cancel()
	}()
	return ctx, cancel
}

// alone says that the process is this program's, and not a test's.
var alone bool

func main() {
	alone = true
	err := run(os.Args, os.Stdin, os.Stdout)
	if err == nil {
		return
	}
	f := failure{exitError, err}
	errors.As(err, &f)
	if f.err != nil {
		fmt.Fprintln(os.Stderr, "quoll:", f.err)
	}
	os.Exit(f.code)
}

// commands are all, in the order of the help.
func commands() []*cli.Command {
	return []*cli.Command{
		serverCommand(),
		cliCommand(),
		snapshotCommand(),
		logCommand(),
		purgeCommand(),
		backupCommand(),
		restoreCommand(),
		joinCommand(),
		leaveCommand(),
		configCommand(),
		statusCommand(),
		digestCommand(),
		scriptsCommand(),
		zkServerCommand(),
		initializeCommand(),
		entrypointCommand(),
		bitnamiCommand(),
		bitnamiRunCommand(),
		versionCommand(),
	}
}

// description is what `quoll --help` says beside its list.
const description = `Takes the place of Apache ZooKeeper 3.9.5: its protocol, its files, its settings. The help of a command says what its exit codes mean.

Examples:
   quoll server /etc/zookeeper/conf/zoo.cfg
   quoll status
   quoll cli -server localhost:2181 ls /
   quoll config check /etc/zookeeper/conf/zoo.cfg
   quoll backup /etc/zookeeper/conf/zoo.cfg --to /backup/zk1`

// run runs the command that the arguments name, the binary's own name in front.
func run(args []string, in io.Reader, out io.Writer) error {
	app := &cli.App{
		Name:            "quoll",
		Usage:           "a drop-in replacement for Apache ZooKeeper",
		Description:     description,
		Commands:        commands(),
		Reader:          in,
		Writer:          out,
		HideVersion:     true,
		HideHelpCommand: true,
		// A value of --set may have commas.
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              func(_ *cli.Context, err error, _ bool) error { return failure{exitInvocation, err} },
		Action: func(ctx *cli.Context) error {
			if name := ctx.Args().First(); name != "" {
				return failure{exitInvocation, fmt.Errorf("no command %q; quoll --help lists them", name)}
			}
			return cli.ShowAppHelp(ctx)
		},
	}
	wrongFlagsAreInvocation(app.Commands)
	name := filepath.Base(args[0])
	if slices.Contains(imageScripts, name) {
		args = append([]string{args[0], name}, args[1:]...)
	} else if translate, ok := aliases[name]; ok {
		words, err := translate(args[1:])
		if err != nil {
			return err
		}
		args = append([]string{args[0]}, words...)
	}
	return app.Run(flagsFirst(app.Commands, args))
}

// wrongFlagsAreInvocation gives wrong flags of commands and their subcommands the exit code for arguments.
func wrongFlagsAreInvocation(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return failure{exitInvocation, err} }
		wrongFlagsAreInvocation(c.Subcommands)
	}
}

// flagsFirst puts the flags of a command in front of its other arguments, where alone they are read: people write them behind a file as
// well. What is no flag of the command stays where it is.
func flagsFirst(commands []*cli.Command, args []string) []string {
	var command *cli.Command
	n := 1
	for n < len(args) {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[n]) })
		if i < 0 {
			break
		}
		command, commands = commands[i], commands[i].Subcommands
		n++
	}
	if command == nil || command.SkipFlagParsing {
		return args
	}
	flags, rest := slices.Clone(args[:n]), []string(nil)
	for words := args[n:]; len(words) > 0; words = words[1:] {
		if words[0] == "--" {
			rest = append(rest, words[1:]...)
			flags = append(flags, "--")
			break
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(words[0], "-"), "=")
		i := slices.IndexFunc(command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
		if words[0][:min(1, len(words[0]))] != "-" || i < 0 && len(rest) > 0 {
			rest = append(rest, words[0])
			continue
		}
		flags = append(flags, words[0])
		if i < 0 || hasValue {
			continue
		}
		if f, ok := command.Flags[i].(cli.DocGenerationFlag); ok && f.TakesValue() && len(words) > 1 {
			words = words[1:]
			flags = append(flags, words[0])
		}
	}
	return append(flags, rest...)
}
