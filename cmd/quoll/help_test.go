package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestHelp walks the tree of commands: each says what it is for, what its exit codes mean and shows examples, whose commands and flags exist.
func TestHelp(t *testing.T) {
	var walk func(path string, commands []*cli.Command)
	walk = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			name := path + " " + c.Name
			if c.Hidden {
				continue
			}
			var out bytes.Buffer
			if err := run(append(strings.Fields(name), "--help"), strings.NewReader(""), &out); err != nil {
				t.Errorf("%s --help: %v", name, err)
			}
			if c.Usage == "" || !strings.Contains(out.String(), c.Usage) {
				t.Errorf("%s --help does not say what it is for:\n%s", name, &out)
			}
			for _, f := range c.Flags {
				if d, ok := f.(cli.DocGenerationFlag); ok && d.GetUsage() == "" {
					t.Errorf("%s: %q is not explained", name, f.Names())
				}
			}
			// A group has no exit codes of its own.
			if (len(c.Subcommands) == 0 || len(c.Flags) > 0) && !strings.Contains(c.Description, "xit code") {
				t.Errorf("%s: the description does not say what the exit codes mean", name)
			}
			examples(t, name, c)
			walk(name, c.Subcommands)
		}
	}
	var out bytes.Buffer
	if err := run([]string{"quoll", "--help"}, strings.NewReader(""), &out); err != nil || !strings.Contains(out.String(), "quoll status\n") {
		t.Errorf("quoll --help: %v: %s", err, &out)
	}
	examples(t, "quoll", &cli.Command{Description: description})
	walk("quoll", commands())
}

// examples checks the lines of a description that are commands.
func examples(t *testing.T, name string, c *cli.Command) {
	t.Helper()
	lines := regexp.MustCompile(`(?m)^   (?:[A-Z_]+=\S+ )?(quoll .*)$`).FindAllStringSubmatch(c.Description, -1)
	if len(lines) == 0 {
		t.Errorf("%s: no example is a command", name)
	}
	for _, line := range lines {
		words := strings.Fields(line[1])[1:]
		var command *cli.Command
		all := commands()
		for len(words) > 0 {
			i := slices.IndexFunc(all, func(c *cli.Command) bool { return c.HasName(words[0]) })
			if i < 0 {
				break
			}
			command, all, words = all[i], all[i].Subcommands, words[1:]
		}
		if command == nil {
			t.Errorf("%s: no such command: %s", name, line[1])
			continue
		}
		if command.SkipFlagParsing {
			continue
		}
		for _, word := range words {
			flag, isFlag := strings.CutPrefix(word, "--")
			flag, _, _ = strings.Cut(flag, "=")
			if isFlag && !slices.ContainsFunc(command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag) }) {
				t.Errorf("%s: no flag %s: %s", name, word, line[1])
			}
		}
	}
}
