package main

import (
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"quoll/shell"
)

// wordTimeout is how long a server may take to answer a four-letter word.
const wordTimeout = 2 * time.Second

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 1 << 20

// askWord returns what a server answers to a four-letter word (FourLetterWordMain).
func askWord(ctx context.Context, dial shell.Dial, address, word string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, wordTimeout)
	defer cancel()
	conn, err := dial(ctx, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	if _, err := conn.Write([]byte(word)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	return string(text), err
}

// clientFlag names a file with what a client is told; so does CLIENT_JVMFLAGS.
func clientFlag() cli.Flag {
	return &cli.StringFlag{Name: "client-configuration", Usage: "`file` with a client's properties as zkCli.sh takes them: zookeeper.client.secure=true and stores for TLS, a JAAS file for SASL; or as -D settings in CLIENT_JVMFLAGS"}
}

// readAccess reads what the environment and the file of clientFlag say.
func readAccess(ctx *cli.Context) (*shell.Access, error) {
	access, err := shell.ReadAccess(shell.Flags(os.Getenv), ctx.String("client-configuration"))
	if err != nil {
		return nil, failure{exitInvocation, err}
	}
	return access, nil
}

// sighting is what a server says of itself: the answer to srvr.
type sighting struct {
	mode string // standalone, leader, follower, observer or read-only; empty if it does not serve
	zxid int64  // of its last transaction
}

// parseSrvr reads the answer to srvr.
func parseSrvr(text string) (s sighting) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Zxid":
			s.zxid, _ = strconv.ParseInt(strings.TrimPrefix(value, "0x"), 16, 64)
		case "Mode":
			s.mode = value
		}
	}
	return s
}
