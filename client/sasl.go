package client

import (
	"bytes"
	"errors"
	"fmt"

	"quoll/jute"
)

// Authenticator is the client's side of SASL on one connection (javax.security.sasl.SaslClient); an Exchange of package sasl is one. One goroutine uses it.
type Authenticator interface {
	// Step takes what the server sent, at first an empty token, and returns what to answer; nil is no answer. The caller keeps the token and owns the answer.
	Step(token []byte) (answer []byte, err error)
	// Done reports whether the server is authenticated, and all has been said but for the last answer.
	Done() bool
}

// maxSASLSteps is more than any mechanism needs.
const maxSASLSteps = 10

// authenticate goes through SASL before anything else is sent on the connection (ZooKeeperSaslClient). A refusal, by the server or of the server, is the end of the client.
func (c *Client) authenticate(l *link, a Authenticator) error {
	token := []byte{}
	for range maxSASLSteps {
		answer, err := a.Step(token)
		if err != nil {
			return c.authFailed(err)
		}
		if answer == nil {
			return nil // the last word was the server's
		}
		if err := l.Request(0, jute.OpSASL, &jute.SASLRequest{Token: answer}); err != nil {
			return err
		}
		h, body, err := l.Reply()
		if err != nil {
			return err
		}
		if h.Err != 0 {
			return c.authFailed(jute.Code(h.Err))
		}
		d := jute.NewDecoder(body)
		said := d.Buffer()
		if d.Err() != nil {
			return d.Err()
		}
		if a.Done() {
			return nil
		}
		token = bytes.Clone(said)
	}
	return c.authFailed(errors.New("the server does not come to an end"))
}

// authFailed brings the client into its final state, of which [Client.LastError] says the cause.
func (c *Client) authFailed(cause error) error {
	cause = fmt.Errorf("authentication with SASL: %w", cause)
	c.mu.Lock()
	c.lastErr = cause
	c.mu.Unlock()
	c.finish(StateAuthFailed, jute.ErrAuthFailed)
	return cause
}
