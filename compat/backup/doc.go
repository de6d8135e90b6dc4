// Package backup has no code, only tests of quoll's backups beside Apache ZooKeeper: of a running Java server, and of directories that were
// restored and on which Java starts.
package backup
