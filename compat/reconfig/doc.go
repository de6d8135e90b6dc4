// Package reconfig compares what a reconfig does: the same requests are made of an ensemble of Apache ZooKeeper and of one of quoll, and answers, znodes and
// the files beside zoo.cfg must be the same.
package reconfig
