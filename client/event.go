package client

import (
	"fmt"
	"strconv"

	"quoll/jute"
)

// State is the state of a client (Watcher.Event.KeeperState, and ZooKeeper.States for those two that no event has).
type State int32

// The states. Expired, AuthFailed and Closed are final.
const (
	StateExpired           State = -112
	StateConnecting        State = -2 // before the first connection; no event has it
	StateDisconnected      State = 0
	StateConnected         State = 3 // SyncConnected
	StateAuthFailed        State = 4
	StateConnectedReadOnly State = 5
	StateSaslAuthenticated State = 6 // only events have it: SASL was passed, and the client stays connected
	StateClosed            State = 7
)

var stateNames = map[State]string{
	StateExpired: "Expired", StateConnecting: "Connecting", StateDisconnected: "Disconnected", StateConnected: "SyncConnected",
	StateAuthFailed: "AuthFailed", StateConnectedReadOnly: "ConnectedReadOnly",
	StateSaslAuthenticated: "SaslAuthenticated", StateClosed: "Closed",
}

// String returns Java's name of the state.
func (s State) String() string {
	if name, ok := stateNames[s]; ok {
		return name
	}
	return strconv.Itoa(int(s))
}

// Final reports whether the client can never be connected again.
func (s State) Final() bool { return s == StateExpired || s == StateAuthFailed || s == StateClosed }

// Event types that clients make themselves; the server sends the others.
const (
	EventNone                   jute.EventType = -1 // the state has changed
	EventDataWatchRemoved       jute.EventType = 5
	EventChildWatchRemoved      jute.EventType = 6
	EventPersistentWatchRemoved jute.EventType = 7
)

var eventNames = map[jute.EventType]string{
	EventNone: "None", jute.EventNodeCreated: "NodeCreated", jute.EventNodeDeleted: "NodeDeleted", jute.EventNodeDataChanged: "NodeDataChanged",
	jute.EventNodeChildrenChanged: "NodeChildrenChanged", EventDataWatchRemoved: "DataWatchRemoved", EventChildWatchRemoved: "ChildWatchRemoved",
	EventPersistentWatchRemoved: "PersistentWatchRemoved",
}

// Event is a change of a watched znode or of the client's state (WatchedEvent).
type Event struct {
	Type  jute.EventType
	State State
	Path  string // without the chroot; empty for EventNone
	Zxid  int64  // of the transaction; -1 if the event was not sent by the server, or is one that setWatches found
}

// String is the text of Java's WatchedEvent.
func (e Event) String() string {
	path := e.Path
	if e.Type == EventNone {
		path = "null"
	}
	name, ok := eventNames[e.Type]
	if !ok {
		name = strconv.Itoa(int(e.Type))
	}
	return fmt.Sprintf("WatchedEvent state:%v type:%s path:%s zxid: %d", e.State, name, path, e.Zxid)
}

// eventQueueLimit is the most bytes of events that wait for the handler. One more and the connection is dropped: restoring the
// watches then brings the handler up to date with one event for each.
const eventQueueLimit = 64 << 20

// eventOverhead is what an event costs beside its path.
const eventOverhead = 64

// deliver queues an event for the handler and reports whether there was room. mu is held. The goroutine that calls the handler
// lives while there are events, so that they arrive in order and none blocks the reader.
func (c *Client) deliver(e Event) bool {
	if c.opts.OnEvent == nil {
		return true
	}
	size := len(e.Path) + eventOverhead
	if c.eventBytes+size > eventQueueLimit {
		return false
	}
	c.eventBytes += size
	c.arrived++
	c.events = append(c.events, e)
	if !c.delivering {
		c.delivering = true
		c.work.Go(c.callHandler)
	}
	return true
}

func (c *Client) callHandler() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.events) > 0 {
		batch := c.events
		c.events, c.eventBytes = nil, 0
		c.mu.Unlock()
		for _, e := range batch {
			c.opts.OnEvent(e)
		}
		c.mu.Lock()
		c.handled += uint64(len(batch))
		c.settled.Broadcast()
	}
	c.delivering = false
}

// Settle returns when the handler has had every event that came before the call, so also each that came before a reply which the caller
// has. The handler must not call it.
func (c *Client) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for want := c.arrived; c.handled < want; {
		c.settled.Wait()
	}
}
