// Package admin compares what is asked over HTTP of Apache ZooKeeper and of quoll: every command of the AdminServer and the metrics for Prometheus, in every role of a server, after
// the same program. Keys, their order, types and the values that the program decides must be the same; what is different on purpose is a row in differences.go, each with its reason,
// and a row that nothing needs any more fails the test. The four-letter words are compared in package compat.
package admin
