// Package peer starts and stops the real programs that the tests under compat and the
// benchmark talk to: Apache ZooKeeper 3.9.5, quoll itself built from this tree, and any other
// Java program.
//
// A test asks for a server and gets one that answers, or is skipped aloud when the peer is not
// on the machine:
//
//	s := peer.Java(t, peer.Options{Config: []string{"extendedTypesEnabled=true"}})
//	conn, err := net.Dial("tcp", s.Addr())
//	...
//	s.Kill()    // SIGKILL, and gone when it returns
//	s.Restart() // the same port and directory, and answering when it returns
//
// and a test that must hold for both servers ranges over them with Each, the Java server being
// the control. Ensemble gives the members of an ensemble, of any mixture of kinds. Programs that are no
// tests use StartJava, StartQuoll and StartEnsemble, which return errors.
//
// The peers come from scripts/fetch-peers.sh and live in $QUOLL_PEERS, or in .peers at the
// root of the repository. With QUOLL_REQUIRE_PEERS=1 a missing peer is a failure, not a skip.
// With QUOLL_BINARY=path that binary is the quoll under test, instead of one built here.
package peer
