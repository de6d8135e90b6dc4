// Package compat holds the tests of quoll against real servers and real clients. Every test of a
// client runs against Apache ZooKeeper first: what the control does not do is no demand on quoll.
package compat
