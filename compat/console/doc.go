// Package console has a real browser use the console of a running quoll, as an operator does. Apache ZooKeeper has no such page to compare it with.
//
// go test ./compat/console -update takes the pictures in docs/console.
package console
