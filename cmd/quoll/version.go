package main

import (
	"fmt"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"quoll/shell"
)

// versionCommand tells what this binary is.
func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version of quoll, and that of ZooKeeper which it stands in for",
		Description: "zkServer.sh version prints the latter alone, as the script does.\n" +
			"Exit code: 0.\n\n" +
			"Example:\n" +
			"   quoll version",
		Action: func(c *cli.Context) error {
			fmt.Fprintf(c.App.Writer, "quoll %s, in place of Apache ZooKeeper %s\n", buildVersion(), shell.Version)
			return nil
		},
	}
}

// buildVersion is the module's version, or the commit of a build from a checkout.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return "devel"
}
