// Package recorder is a client that makes requests at random, several at once, and records what it is told, for package history to judge.
// Many of them work on few znodes, so that almost every request has others beside it on the same path.
//
//	c := recorder.New(recorder.Options{ID: 1, Seed: seed, Timeout: time.Minute, Window: 8, Length: 8000})
//	err := c.Prepare(conn) // one of them, on an empty server
//	for the server is there {
//		err = c.Play(conn, stop) // on a connection to any server, which Play closes
//	}
//	err = c.Look(conn)     // one of them, when it is calm again: what has become of the requests that nobody answered
//	checker.Life(c.Take())
package recorder
