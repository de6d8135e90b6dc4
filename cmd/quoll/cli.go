package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"quoll/shell"
)

// cliCommand is the client shell. Its options are zkCli.sh's, which urfave/cli would read by other rules.
func cliCommand() *cli.Command {
	return &cli.Command{
		Name:      "cli",
		Usage:     "the shell of a client, as zkCli.sh: with a command it runs that one, else it reads lines",
		ArgsUsage: "[-server host:port[,host:port...][/chroot]] [-timeout ms] [-r] [-waitforconnection] [-client-configuration file] [command args]",
		Description: "The default server is localhost:2181, the default timeout 30000. Options stand in front of the command. An unknown command\n" +
			"lists all. The exit code is 0, 1 after an error, 127 if there is no such command. TLS and SASL are set by a client's\n" +
			"properties: -D settings in CLIENT_JVMFLAGS (zookeeper.client.secure=true and stores, java.security.auth.login.config), or the file.\n\n" +
			"Examples:\n" +
			"   quoll cli\n" +
			"   quoll cli -server zoo1:2181,zoo2:2181 get /app",
		SkipFlagParsing: true,
		HideHelp:        true, // `cli help` is for the shell, which has no such command
		Action: func(ctx *cli.Context) error {
			if first := ctx.Args().First(); first == "-h" || first == "-help" || first == "--help" {
				return cli.ShowSubcommandHelp(ctx)
			}
			if code := shell.Run(ctx.Args().Slice(), shell.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}); code != 0 {
				return failure{code: code}
			}
			return nil
		},
	}
}
