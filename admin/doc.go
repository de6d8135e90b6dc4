// Package admin serves ZooKeeper's AdminServer over HTTP: every command at its URL, answered in JSON as Jackson prints it.
//
//	a, err := admin.Start(admin.Options{Config: cfg, Server: s, Logger: log})
//	defer a.Close()
//
// What a command tells comes from package server, whose table has one row for a command and the four-letter word of the same fact. Here are the URL and the methods, status codes
// and headers, who may take and restore snapshots, and what keeps clients from being a burden: a limit of connections, deadlines for each step, and one long answer at a time.
//
// Beside the commands there is the console, a page for browsers that ZooKeeper does not have, in console.go and the directory console.
//
// Mirrors the Java classes JettyAdminServer, Commands, JsonOutputter and StreamOutputter.
package admin
