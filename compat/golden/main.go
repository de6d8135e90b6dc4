package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"quoll/compat/peer"
	"quoll/compat/script"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "golden:", err)
		os.Exit(1)
	}
}

// run is the command: args without the program's name.
func run(args []string, out io.Writer) error {
	usage := errors.New("usage: golden record|check [-addr HOST:PORT] [-as java|quoll] SCRIPTS")
	if len(args) == 0 {
		return usage
	}
	record := args[0] == "record"
	if !record && args[0] != "check" {
		return usage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	addr := flags.String("addr", "", "a running server, with the settings of the scripts and an empty data directory; without it one is started for each script")
	as := flags.String("as", map[bool]string{true: "java", false: "quoll"}[record], "whose answers they are: java or quoll")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	i := slices.IndexFunc(peer.Kinds, func(k peer.Kind) bool { return k.Name == *as })
	if i < 0 || flags.NArg() == 0 {
		return usage
	}
	var failed error
	for _, path := range flags.Args() {
		s, err := script.Read(path)
		if err != nil {
			return err
		}
		if *as == "quoll" && s.Lacks != "" {
			fmt.Fprintf(out, "%s: left out, quoll lacks %s\n", path, s.Lacks)
			continue
		}
		at := *addr
		var server *peer.Server
		if at == "" {
			if server, err = peer.Kinds[i].Start(peer.Options{Config: s.Config(), Flags: s.Flags()}); err != nil {
				return err
			}
			at = server.Addr()
		}
		if record {
			err = recordScript(at, path, s, *as)
		} else {
			err = checkScript(at, s, *as)
		}
		if server != nil {
			err = errors.Join(err, server.Close())
		}
		if err != nil {
			fmt.Fprintln(out, err)
			failed = fmt.Errorf("%s failed", path)
			continue
		}
		fmt.Fprintf(out, "%s: %d steps\n", path, s.Steps())
	}
	return failed
}

// recordScript plays a script and writes the answers into its file.
func recordScript(addr, path string, s *script.Script, as string) error {
	err := script.Play(addr, s, func(at *script.Step, answer []string) {
		switch {
		case as == "java":
			at.Answer = answer
		case at.Reason != "":
			at.Quoll = answer
		}
	})
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if text := s.Format(); err != nil || !bytes.Equal(old, text) {
		return os.WriteFile(path, text, 0o644)
	}
	return nil
}

// checkScript plays a script and returns an error that shows each difference.
func checkScript(addr string, s *script.Script, as string) error {
	var differences []error
	err := script.Play(addr, s, func(at *script.Step, got []string) {
		want := at.Answer
		if as == "quoll" && at.Reason != "" {
			want = at.Quoll
		}
		if !slices.Equal(got, want) {
			differences = append(differences, fmt.Errorf("%s:%d: %s\nwant\n\t%s\ngot\n\t%s", s.Name, at.Number,
				strings.Join(at.Source, "\n"), strings.Join(want, "\n\t"), strings.Join(got, "\n\t")))
		}
	})
	return errors.Join(append(differences, err)...)
}
