// Package client is a small ZooKeeper client: the whole client protocol of ZooKeeper 3.9 on top of package jute, and nothing else.
//
//	c, err := client.Connect(ctx, "one:2181,two:2181/app", client.Options{OnEvent: func(e client.Event) { ... }})
//	path, err := c.Create(ctx, "/x", []byte("data"), client.OpenACL, jute.ModePersistent)
//	data, stat, err := c.Get(ctx, "/x", true)
//	err = c.Close()
//
// It keeps a session alive over any number of connections: it pings, and after a lost connection it renews the session at the next
// server, authenticates again and restores the watches with setWatches, and setWatches2 for persistent ones. Requests that were on their way fail with
// [jute.ErrConnectionLoss]; whether they took effect is not known. Requests made while there is no connection wait until
// there is one, or until every server has been tried. Errors of the server are values of type [jute.Code].
//
// Every opcode is a method, or [Client.Do] with the records of package jute, or [Client.Send], which does not wait: it is the
// primitive under all others, and a caller that keeps many requests in flight on one connection uses it. [RawConn] is the layer
// below, frames without a session, for tests that must break the rules.
//
// It exists beside github.com/go-zookeeper/zk because that client knows neither persistent watches nor the removal of watches, no
// TTL nodes in all forms, no create2, multiRead, whoAmI, getEphemerals or read-only sessions, and it sends no readOnly byte.
// Programs that want a client need not prefer this one.
//
// There is one handler of events for a client, not one for each watch. It mirrors org.apache.zookeeper.ZooKeeper, ClientCnxn and
// ZKWatchManager.
package client
