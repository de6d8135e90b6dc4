package main

import (
	"context"
	"io"
	"net"
	"strings"
	"time"

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

// dialPlain connects without TLS.
func dialPlain(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// modeLine is the line of an answer to srvr that says what the server is; empty if it does not serve.
func modeLine(answer string) string {
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "Mode: ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
