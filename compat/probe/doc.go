// Package probe speaks with a live server by hand, as voter, learner and leader, and pins the rules of docs/spec/ensemble-protocol.md on what it does.
//
// A probe knows of the server under test its three addresses, its directories and nothing else, so that each runs against Apache ZooKeeper and against quoll.
// What is different on purpose is a row of the table in deviations_test.go, and the probe says there which of the two it wants.
//
//	QUOLL_REQUIRE_PEERS=1 go test -parallel 6 ./compat/probe                     all probes, both servers (make compat runs them too)
//	go test -run 'TestLearner/java' ./compat/probe -v                            some of them, with the conversation
//	QUOLL_PROBE_LOGS=dir go test ./compat/probe                                  keeps the logs of the servers
//	QUOLL_PROBE_RECORD=1 go test -run '/java' ./compat/probe                     testdata/ensemble/probes.txt anew, from Apache ZooKeeper
//
// Each scene is one server and what it lives through; its probes run one after another, since how a server came to be looking, following or leading is part of
// what they show. Time is only ever waited for: a tick is 300 ms, and nothing is said about how long something takes.
package probe
