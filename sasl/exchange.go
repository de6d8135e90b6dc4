package sasl

import "errors"

// Exchange is one side of one authentication (javax.security.sasl.SaslServer and SaslClient). It is used by one goroutine at a time.
type Exchange interface {
	// Step takes what the other side sent and returns what to answer; nil is no token at all, which is not an empty one. A client begins with an empty token that nobody sent. The
	// caller keeps the token and owns the answer. After an error, and when the exchange is done, no token is accepted any more. An error has no secret in it.
	Step(token []byte) (answer []byte, err error)
	// Done reports whether the other side is authenticated, and all has been said but for the last answer.
	Done() bool
	// Peer is who the other side has proved to be: a user of DIGEST-MD5, or a Kerberos principal with its realm; for a client that of the server. It is empty before Done.
	Peer() string
}

// ErrSilent is wrapped by the errors for which ZooKeeper closes the connection without an answer, since something in Java has thrown what is no SaslException.
var ErrSilent = errors.New("no answer")

// errOver is the error of tokens that come after the end.
var errOver = errors.New("the exchange is over")
