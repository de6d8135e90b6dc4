// Command quoll is a drop-in replacement for Apache ZooKeeper: `quoll server` takes the place of zkServer.sh, `quoll cli` that of
// zkCli.sh.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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

// aliases are names under which the binary is that command, so that a link can stand in for a script of ZooKeeper.
var aliases = map[string]string{
	"zkCli.sh": "cli",
}

func main() {
	app := &cli.App{
		Name:  "quoll",
		Usage: "a drop-in replacement for Apache ZooKeeper",
		Commands: []*cli.Command{
			serverCommand(),
			cliCommand(),
			versionCommand(),
		},
		HideVersion:     true,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {},
		Action: func(ctx *cli.Context) error {
			if name := ctx.Args().First(); name != "" {
				return failure{exitInvocation, fmt.Errorf("no command %q; quoll --help lists them", name)}
			}
			return cli.ShowAppHelp(ctx)
		},
	}
	args := os.Args
	if name, ok := aliases[filepath.Base(args[0])]; ok {
		args = append([]string{args[0], name}, args[1:]...)
	}
	if err := app.Run(args); err != nil {
		f := failure{exitError, err}
		errors.As(err, &f)
		if f.err != nil {
			fmt.Fprintln(os.Stderr, "quoll:", f.err)
		}
		os.Exit(f.code)
	}
}
