package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestFlagsFirst(t *testing.T) {
	commands := []*cli.Command{{
		Name: "log",
		Subcommands: []*cli.Command{{Name: "repair", Flags: []cli.Flag{
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}}, &cli.StringFlag{Name: "to"},
		}}},
	}, {
		Name: "cli", SkipFlagParsing: true,
	}}
	for in, want := range map[string]string{
		"quoll":                                "quoll",
		"quoll log":                            "quoll log",
		"quoll log repair f":                   "quoll log repair f",
		"quoll log repair f -y --to g":         "quoll log repair -y --to g f",
		"quoll log repair f --to=g h":          "quoll log repair --to=g f h",
		"quoll log repair f -1 -Dx=y --to":     "quoll log repair --to f -1 -Dx=y",
		"quoll log repair --bogus f":           "quoll log repair --bogus f",
		"quoll log repair f --yes -- --to g h": "quoll log repair --yes -- f --to g h",
		"quoll cli f -y":                       "quoll cli f -y",
		"quoll bogus -y f --to g":              "quoll bogus -y f --to g",
	} {
		if got := strings.Join(flagsFirst(commands, strings.Fields(in)), " "); got != want {
			t.Errorf("%s: %s, not %s", in, got, want)
		}
	}
}

// TestToolkitArguments has what commons-cli makes of the arguments of zkTxnLogToolkit.sh.
func TestToolkitArguments(t *testing.T) {
	for in, want := range map[string]string{
		"log.1":                       "log print -- log.1",
		"-d log.1":                    "log print -- log.1",
		"-v log.1":                    "log print -- log.1",
		"-r log.1":                    "log repair --fix-crc -- log.1",
		"-rvy log.1":                  "log repair --fix-crc --yes --verbose -- log.1",
		"log.1 --recover --yes":       "log repair --fix-crc --yes -- log.1",
		"-c -z 0x5 log.1":             "log repair --yes --cut-at 0x5 -- log.1",
		"--chop --zxid=7 log.1 other": "log repair --yes --cut-at 7 -- log.1",
		"-c log.1":                    "log print -- log.1",
		"-h":                          "log --help",
	} {
		got, err := txnLogToolkit(strings.Fields(in))
		if err != nil || !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q and %v, not %s", in, got, err, want)
		}
	}
	if _, err := txnLogToolkit(nil); err == nil {
		t.Error("no file is no error")
	}
}
