// Package shell is the command line client of `quoll cli`: the commands, options, texts, streams and exit codes of zkCli.sh
// (org.apache.zookeeper.ZooKeeperMain), on package client.
//
//	os.Exit(shell.Run(os.Args[1:], shell.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
//
// Data goes to standard output; messages, usage and errors go to standard error. The exit code is 0, 1 after an error of the last
// command, 127 if there is no such command. Scripts rely on all three, so odd texts are kept as they are: compat/shell_test.go feeds the
// same lines to both shells.
//
// A command is a row of the table in commands.go. What zkCli.sh does not survive (a number or a path that is none, where it ends with
// a stack trace) is an error of that command here, and the shell goes on.
//
// On a terminal lines can be edited, commands and paths are completed with TAB, and the history is kept in ~/.quoll_history, without
// addauth. Any other standard input is a script; its lines are not echoed.
package shell
