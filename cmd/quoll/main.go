// Command quoll is a drop-in replacement for Apache ZooKeeper: `quoll server` takes the place of zkServer.sh, `quoll cli` that of
// zkCli.sh.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
)

// Exit codes, those of ZooKeeper's server (org.apache.zookeeper.server.ExitCode) where it has one.
const (
	exitError      = 1 // an error that nobody expected; a database that cannot be loaded
	exitInvocation = 2 // arguments or configuration
	exitDataDir    = 3 // the data directory cannot be used
)

// failure is an error with the exit code that it calls for.
type failure struct {
	code int
	err  error
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

func main() {
	app := &cli.App{
		Name:  "quoll",
		Usage: "a drop-in replacement for Apache ZooKeeper",
		Commands: []*cli.Command{
			serverCommand(),
		},
		HideVersion:    true,
		ExitErrHandler: func(*cli.Context, error) {},
	}
	if err := app.Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "quoll:", err)
		code := exitError
		if f := (failure{}); errors.As(err, &f) {
			code = f.code
		}
		os.Exit(code)
	}
}
