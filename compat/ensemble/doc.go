// Package ensemble runs ensembles of real servers, each member quoll or a version of Apache ZooKeeper, and does to them what
// operators and networks do: members are stopped, killed, paused, cut off, badly connected, replaced by the other kind on the same directory.
//
//	e, err := ensemble.New(ensemble.Options{Work: t.TempDir(), Kinds: []ensemble.Kind{ensemble.Quoll, ensemble.Java, "3.6.4"}})
//	err = e.Start()           // all members
//	leader, err := e.Serving() // all that run serve, one of them leads
//	err = leader.Kill()
//	err = leader.Replace(ensemble.Java)
//	err = leader.Start()
//	leader, err = e.Serving()
//	err = e.Settle("/last")   // everything is on the disk of all that run
//
// With [Options.Network] each member is on a host of its own, and package faultnet decides what becomes of the packets between them and
// their clients.
//
// Nothing here knows a testing.T; the scenarios are the tests of the package. Each runs on any assignment of kinds to members, so that
// what only ZooKeeper's servers do is the control of what a mixed ensemble does. The short forms run with `go test`, the long ones by
// QUOLL_ENSEMBLE=long and the settings that each test names.
package ensemble
