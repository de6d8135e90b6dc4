package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"quoll/config"
)

func digestCommand() *cli.Command {
	return &cli.Command{
		Name:      "digest",
		Usage:     "make the id of a user of the scheme digest, for ACLs and for the superuser",
		ArgsUsage: "[user:password]",
		Description: "Without an argument user:password is one line of the standard input, so that nobody sees the password on the command line. The output is what\n" +
			"DigestAuthenticationProvider.superDigest takes for the user super, and what setAcl takes behind digest: for any. --alg is DigestAuthenticationProvider.digestAlg\n" +
			"of the servers.\n" +
			"Exit codes: 0 done, 2 wrong arguments.\n\n" +
			"Examples:\n" +
			"   quoll digest < secret\n" +
			"   echo super:secret | quoll digest --alg SHA-256",
		Flags: []cli.Flag{&cli.StringFlag{Name: "alg", Value: "SHA1", Usage: "Java's `name` of the hash"}},
		Action: func(ctx *cli.Context) error {
			hash := config.DigestHash(ctx.String("alg"))
			if hash == nil {
				return usage("--alg: the hash %q is not known", ctx.String("alg"))
			}
			if ctx.NArg() > 1 {
				return usage("one user:password at most")
			}
			credentials := ctx.Args().First()
			if ctx.NArg() == 0 {
				var err error
				if credentials, err = readCredentials(ctx.App.Reader); err != nil {
					return err
				}
			}
			user, _, ok := strings.Cut(credentials, ":")
			if !ok || user == "" {
				return usage("this is not of the form user:password")
			}
			fmt.Fprintf(ctx.App.Writer, "%s:%s\n", user, config.Digest(hash, []byte(credentials)))
			return nil
		},
	}
}

// readCredentials reads a line, which a terminal does not show.
func readCredentials(in io.Reader) (string, error) {
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(os.Stderr, "user:password: ")
		line, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(os.Stderr)
		return string(line), err
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}
