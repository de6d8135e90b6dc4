package client

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf16"

	"quoll/jute"
)

// OpenACL grants everything to everybody (ZooDefs.Ids.OPEN_ACL_UNSAFE).
var OpenACL = []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}

// ConfigPath is the znode that holds the ensemble's configuration.
const ConfigPath = "/zookeeper/config"

// errPath is the error of a path that ValidatePath refuses.
type errPath string

func (e errPath) Error() string { return string(e) }

// ValidatePath reports what is wrong with a path, in the words of Java's PathUtils. The methods of Client send any path as it is.
func ValidatePath(path string) error {
	invalid := func(i int, reason string) error {
		return errPath(fmt.Sprintf("Invalid path string \"%s\" caused by %s @%d", path, reason, i))
	}
	switch {
	case path == "":
		return errPath("Path length must be > 0")
	case path[0] != '/':
		return errPath("Path must start with / character")
	case path == "/":
		return nil
	case path[len(path)-1] == '/':
		return errPath("Path must not end with / character")
	}
	units := utf16.Encode([]rune(path))
	for i := 1; i < len(units); i++ {
		unit, last := units[i], units[i-1]
		ends := i+1 == len(units) || units[i+1] == '/'
		switch {
		case unit == 0:
			return invalid(i, "null character not allowed")
		case unit == '/' && last == '/':
			return invalid(i, "empty node name specified")
		case unit == '.' && last == '.' && i >= 2 && units[i-2] == '/' && ends, unit == '.' && last == '/' && ends:
			return invalid(i, "relative paths not allowed")
		case unit < 0x20, unit >= 0x7f && unit <= 0x9f, unit >= 0xd800 && unit <= 0xf8ff, unit >= 0xfff0:
			return invalid(i, "invalid character")
		}
	}
	return nil
}

// serverPath puts the chroot in front of a path.
func (c *Client) serverPath(path string) []byte {
	if c.chroot != "" && path == "/" {
		return []byte(c.chroot)
	}
	return []byte(c.chroot + path)
}

// clientPath takes the chroot off. A path outside of it, such as the configuration's, stays as it is.
func (c *Client) clientPath(path string) string {
	rest, ok := strings.CutPrefix(path, c.chroot)
	switch {
	case !ok:
		return path
	case rest == "":
		return "/"
	}
	return rest
}

func aclTexts(acl []jute.ACL) []jute.ACLText {
	if acl == nil {
		return nil
	}
	texts := make([]jute.ACLText, len(acl))
	for i, a := range acl {
		texts[i] = jute.ACLText{Perms: a.Perms, Scheme: []byte(a.Scheme), ID: []byte(a.ID)}
	}
	return texts
}

// Create makes a znode and returns its path, which for a sequential mode has a suffix. A nil slice is null data, which differs from
// empty. The opcode is create, or createContainer for that mode. TTL modes need CreateTTL.
func (c *Client) Create(ctx context.Context, path string, data []byte, acl []jute.ACL, mode jute.CreateMode) (string, error) {
	if mode == jute.ModeContainer {
		created, _, err := c.create2(ctx, jute.OpCreateContainer, path, data, acl, mode)
		return created, err
	}
	var resp jute.PathResponse
	err := c.Do(ctx, jute.OpCreate, &jute.CreateRequest{Path: c.serverPath(path), Data: data, ACL: aclTexts(acl), Flags: int32(mode)}, &resp)
	if err != nil {
		return "", err
	}
	return c.clientPath(resp.Path), nil
}

// Create2 is Create that returns the new znode's Stat as well.
func (c *Client) Create2(ctx context.Context, path string, data []byte, acl []jute.ACL, mode jute.CreateMode) (string, jute.Stat, error) {
	op := jute.OpCreate2
	if mode == jute.ModeContainer {
		op = jute.OpCreateContainer
	}
	return c.create2(ctx, op, path, data, acl, mode)
}

func (c *Client) create2(ctx context.Context, op jute.Op, path string, data []byte, acl []jute.ACL, mode jute.CreateMode) (string, jute.Stat, error) {
	return c.createStat(ctx, op, &jute.CreateRequest{Path: c.serverPath(path), Data: data, ACL: aclTexts(acl), Flags: int32(mode)})
}

// CreateTTL makes a znode that the server removes once it has had no children and no change for ttl milliseconds, 1 to 2^40-1.
func (c *Client) CreateTTL(ctx context.Context, path string, data []byte, acl []jute.ACL, mode jute.CreateMode, ttl int64) (string, jute.Stat, error) {
	return c.createStat(ctx, jute.OpCreateTTL,
		&jute.CreateTTLRequest{Path: c.serverPath(path), Data: data, ACL: aclTexts(acl), Flags: int32(mode), TTL: ttl})
}

func (c *Client) createStat(ctx context.Context, op jute.Op, req Body) (string, jute.Stat, error) {
	var resp jute.CreateResponse
	if err := c.Do(ctx, op, req, &resp); err != nil {
		return "", jute.Stat{}, err
	}
	return c.clientPath(resp.Path), resp.Stat, nil
}

// Delete removes a znode without children; version -1 matches any. As in Java, the path / is the server's root, not the chroot.
func (c *Client) Delete(ctx context.Context, path string, version int32) error {
	full := c.serverPath(path)
	if path == "/" {
		full = []byte(path)
	}
	return c.Do(ctx, jute.OpDelete, &jute.DeleteRequest{Path: full, Version: version}, nil)
}

// watchRequest is one of the reads that can leave a watch of that kind.
func (c *Client) watchRequest(ctx context.Context, op jute.Op, path []byte, watch bool, kind watchKind, resp Result) error {
	var onReply func(error)
	if watch {
		onReply = func(err error) {
			if err == nil {
				c.addWatchEntry(kind, path)
			} else if op == jute.OpExists && err == jute.ErrNoNode {
				c.addWatchEntry(watchExist, path)
			}
		}
	}
	return c.do(ctx, op, &jute.PathWatchRequest{Path: path, Watch: watch}, resp, onReply)
}

func (c *Client) addWatchEntry(kind watchKind, path []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches.add(kind, string(path))
}

// Exists returns the Stat of a znode, or jute.ErrNoNode, with which a watch is set all the same.
func (c *Client) Exists(ctx context.Context, path string, watch bool) (jute.Stat, error) {
	var stat jute.Stat
	err := c.watchRequest(ctx, jute.OpExists, c.serverPath(path), watch, watchData, &stat)
	return stat, err
}

// Get returns the data of a znode, nil for null, and its Stat.
func (c *Client) Get(ctx context.Context, path string, watch bool) ([]byte, jute.Stat, error) {
	return c.get(ctx, c.serverPath(path), watch)
}

// GetConfig returns the ensemble's configuration, which no chroot hides.
func (c *Client) GetConfig(ctx context.Context, watch bool) ([]byte, jute.Stat, error) {
	return c.get(ctx, []byte(ConfigPath), watch)
}

func (c *Client) get(ctx context.Context, path []byte, watch bool) ([]byte, jute.Stat, error) {
	var resp jute.GetDataResponse
	err := c.watchRequest(ctx, jute.OpGetData, path, watch, watchData, &resp)
	return resp.Data, resp.Stat, err
}

// Set replaces the data of a znode; version -1 matches any.
func (c *Client) Set(ctx context.Context, path string, data []byte, version int32) (jute.Stat, error) {
	var stat jute.Stat
	err := c.Do(ctx, jute.OpSetData, &jute.SetDataRequest{Path: c.serverPath(path), Data: data, Version: version}, &stat)
	return stat, err
}

// Children returns the names of a znode's children, in no order, and its Stat (opcode getChildren2).
func (c *Client) Children(ctx context.Context, path string, watch bool) ([]string, jute.Stat, error) {
	var resp jute.GetChildren2Response
	err := c.watchRequest(ctx, jute.OpGetChildren2, c.serverPath(path), watch, watchChild, &resp)
	return resp.Children, resp.Stat, err
}

// ChildNames is Children by opcode getChildren, without the Stat.
func (c *Client) ChildNames(ctx context.Context, path string, watch bool) ([]string, error) {
	var resp jute.GetChildrenResponse
	err := c.watchRequest(ctx, jute.OpGetChildren, c.serverPath(path), watch, watchChild, &resp)
	return resp.Children, err
}

// AllChildrenNumber returns the number of descendants at any depth.
func (c *Client) AllChildrenNumber(ctx context.Context, path string) (int, error) {
	var resp jute.GetAllChildrenNumberResponse
	err := c.Do(ctx, jute.OpGetAllChildrenNumber, &jute.PathRequest{Path: c.serverPath(path)}, &resp)
	return int(resp.TotalNumber), err
}

// Ephemerals returns the paths of the session's ephemeral znodes that start with prefix, in no order. As in Java, prefix and paths are
// the server's, with the chroot.
func (c *Client) Ephemerals(ctx context.Context, prefix string) ([]string, error) {
	var resp jute.GetChildrenResponse
	err := c.Do(ctx, jute.OpGetEphemerals, &jute.PathRequest{Path: []byte(prefix)}, &resp)
	return resp.Children, err
}

// GetACL returns the ACL of a znode and its Stat.
func (c *Client) GetACL(ctx context.Context, path string) ([]jute.ACL, jute.Stat, error) {
	var resp jute.GetACLResponse
	err := c.Do(ctx, jute.OpGetACL, &jute.PathRequest{Path: c.serverPath(path)}, &resp)
	return resp.ACL, resp.Stat, err
}

// SetACL replaces the ACL of a znode; version is compared with aversion, -1 matches any.
func (c *Client) SetACL(ctx context.Context, path string, acl []jute.ACL, version int32) (jute.Stat, error) {
	var stat jute.Stat
	err := c.Do(ctx, jute.OpSetACL, &jute.SetACLRequest{Path: c.serverPath(path), ACL: aclTexts(acl), Version: version}, &stat)
	return stat, err
}

// Sync returns when the server has seen everything that the leader had committed at the call.
func (c *Client) Sync(ctx context.Context, path string) error {
	return c.Do(ctx, jute.OpSync, &jute.PathRequest{Path: c.serverPath(path)}, nil)
}

// Ping makes a round trip that also waits for the session's earlier writes. Without a connection it fails at once.
func (c *Client) Ping(ctx context.Context) error { return c.Do(ctx, jute.OpPing, nil, nil) }

// Multi runs writes and checks as one: all or none. If it fails, the error is that of the operation to blame, and results has a row for
// each. Paths in ops are without the chroot.
func (c *Client) Multi(ctx context.Context, ops ...jute.Operation) (MultiResponse, error) {
	resp, err := c.multi(ctx, jute.OpMulti, ops)
	if err != nil {
		return nil, err
	}
	return resp, resp.Err()
}

// MultiRead runs getData and getChildren operations on one view of the tree. Each has an error of its own; the watch flags are
// ignored by the server.
func (c *Client) MultiRead(ctx context.Context, ops ...jute.Operation) (MultiResponse, error) {
	return c.multi(ctx, jute.OpMultiRead, ops)
}

func (c *Client) multi(ctx context.Context, op jute.Op, ops []jute.Operation) (MultiResponse, error) {
	req := make(MultiRequest, len(ops))
	for i, o := range ops {
		o.Path = c.serverPath(string(o.Path))
		req[i] = o
	}
	var resp MultiResponse
	if err := c.Do(ctx, op, req, &resp); err != nil {
		return nil, err
	}
	for i := range resp {
		if resp[i].Path != "" {
			resp[i].Path = c.clientPath(resp[i].Path)
		}
	}
	return resp, nil
}

// Reconfig changes the ensemble: by lists of servers that join and of ids that leave, or by the whole list of members. Empty lists
// are not sent. version is that of the configuration it replaces, -1 for any. It returns the new configuration.
func (c *Client) Reconfig(ctx context.Context, joining, leaving, members string, version int64) ([]byte, jute.Stat, error) {
	text := func(s string) []byte {
		if s == "" {
			return nil
		}
		return []byte(s)
	}
	req := jute.ReconfigRequest{JoiningServers: text(joining), LeavingServers: text(leaving), NewMembers: text(members), CurConfigID: version}
	var resp jute.GetDataResponse
	err := c.Do(ctx, jute.OpReconfig, &req, &resp)
	return resp.Data, resp.Stat, err
}

// WhoAmI returns the identities of the connection, in no order.
func (c *Client) WhoAmI(ctx context.Context) ([]jute.ClientInfo, error) {
	var resp jute.WhoAmIResponse
	err := c.Do(ctx, jute.OpWhoAmI, nil, &resp)
	return resp.ClientInfo, err
}

// AddWatch sets a persistent watch.
func (c *Client) AddWatch(ctx context.Context, path string, mode jute.AddWatchMode) error {
	full := c.serverPath(path)
	kind := watchPersistent
	if mode == jute.AddWatchPersistentRecursive {
		kind = watchRecursive
	}
	var resp jute.ErrorResponse
	return c.do(ctx, jute.OpAddWatch, &jute.AddWatchRequest{Path: full, Mode: int32(mode)}, &resp, func(err error) {
		if err == nil {
			c.addWatchEntry(kind, full)
		}
	})
}

// CheckWatches returns nil if the server has a watch of the type on the path for this connection, else jute.ErrNoWatcher.
func (c *Client) CheckWatches(ctx context.Context, path string, watcher jute.WatcherType) error {
	return c.Do(ctx, jute.OpCheckWatches, &jute.WatchesRequest{Path: c.serverPath(path), Type: int32(watcher)}, nil)
}

// RemoveWatches removes watches and delivers an event for each type removed. A watch that this client has not set is
// jute.ErrNoWatcher, found without the server. With local the watches are forgotten even if the server cannot be asked.
func (c *Client) RemoveWatches(ctx context.Context, path string, watcher jute.WatcherType, local bool) error {
	full := c.serverPath(path)
	groups, ok := watcherTypes[watcher]
	if !ok {
		return jute.ErrMarshalling
	}
	var all []watchKind
	for _, g := range groups {
		all = append(all, g.kinds...)
	}
	c.mu.Lock()
	known := c.watches.has(string(full), all...)
	c.mu.Unlock()
	if !known {
		return jute.ErrNoWatcher
	}
	err := c.do(ctx, jute.OpRemoveWatches, &jute.WatchesRequest{Path: full, Type: int32(watcher)}, nil, func(err error) {
		if err != nil && !local {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, g := range groups {
			if c.watches.remove(string(full), g.kinds...) {
				c.deliver(Event{Type: g.removed, State: StateConnected, Path: path, Zxid: -1})
			}
		}
	})
	if local {
		return nil
	}
	return err
}
