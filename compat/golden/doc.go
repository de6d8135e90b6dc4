// Golden records exchanges of the client protocol from a real server and checks other servers
// against the recording, byte for byte.
//
//	go run ./compat/golden record testdata/golden/*.txt             from Apache ZooKeeper, one fresh server for each script
//	go run ./compat/golden check testdata/golden/*.txt              against quoll, likewise
//	go run ./compat/golden check -addr HOST:PORT testdata/golden/watch.txt
//
// Package script has the language of the scripts. The settings of a script are those of its server, which has an empty data directory.
package main
