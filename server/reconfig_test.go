package server

import (
	"fmt"
	"testing"
	"time"

	"quoll/config"
	"quoll/ensemble"
	"quoll/jute"
	"quoll/tree"
	"quoll/zab"
)

var _ Membership = (*zab.Node)(nil)

// members is an ensemble in which some servers are connected.
type members struct {
	committed, lastSeen *ensemble.Config
	connected           ensemble.Set
}

func (m *members) Configs() (committed, lastSeen *ensemble.Config) { return m.committed, m.lastSeen }

func (m *members) CanReconfigure(c *ensemble.Config) bool { return c.Quorum(m.connected) }

func parseConfig(t *testing.T, text string) *ensemble.Config {
	t.Helper()
	c, err := ensemble.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPrepareReconfig has requests that fail for several reasons: the first of ZooKeeper's order is the answer.
func TestPrepareReconfig(t *testing.T) {
	const three = "server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:participant;0.0.0.0:3\nserver.3=c:1:2:participant;0.0.0.0:3\n"
	v1, v2 := parseConfig(t, three+"version=100000000"), parseConfig(t, three+"version=100000001")
	super := []jute.ID{{Scheme: "super", ID: ""}}
	join := func(line string, id int64) *jute.ReconfigRequest {
		return &jute.ReconfigRequest{JoiningServers: []byte(line), CurConfigID: id}
	}
	alone := join("server.4=d:1:2:observer;3", -1)
	for _, test := range []struct {
		name     string
		disabled bool
		session  int64
		members  *members
		request  *jute.ReconfigRequest
		ids      []jute.ID
		want     jute.Code
	}{
		{"disabled", true, 9, &members{v1, v2, nil}, join("x", 5), nil, jute.ErrReconfigDisabled},
		{"no session", false, 9, &members{v1, v2, nil}, join("x", 5), nil, jute.ErrSessionExpired},
		{"alone", false, 1, nil, join("x", 5), nil, jute.ErrUnimplemented},
		{"under way", false, 1, &members{v1, v2, nil}, join("x", 5), nil, jute.ErrReconfigInProgress},
		{"another version", false, 1, &members{v1, v1, nil}, join("x", 5), nil, jute.ErrBadVersion},
		{"nonsense", false, 1, &members{v1, v1, nil}, join("x", 0x100000000), nil, jute.ErrBadArguments},
		{"no number", false, 1, &members{v1, v1, nil}, join("server.x=d:1:2;3", 0x100000000), nil, jute.ErrMarshalling},
		{"too few voters", false, 1, &members{v1, v1, nil}, &jute.ReconfigRequest{LeavingServers: []byte("1,2"), CurConfigID: -1}, nil, jute.ErrBadArguments},
		{"nobody there", false, 1, &members{v1, v1, ensemble.Set{1}}, alone, nil, jute.ErrNewConfigNoQuorum},
		{"not allowed", false, 1, &members{v1, v1, ensemble.Set{1, 3}}, alone, nil, jute.ErrNoAuth},
		{"good", false, 1, &members{v1, v1, ensemble.Set{1, 3}}, alone, super, jute.OK},
	} {
		pr, tr := testPreparer(t, func(c *config.Config) { c.ReconfigEnabled = !test.disabled })
		if test.members != nil {
			pr.Members(test.members)
		}
		tr.Apply(&tree.Txn{TxnHeader: jute.TxnHeader{ClientID: 1, Zxid: 0x100000004, Type: int32(jute.OpCreateSession)}, Timeout: 1000}, &tree.Result{}, nil)
		digest := tr.Digest()
		r := &Request{Session: test.session, Op: jute.OpReconfig, Body: test.request.Append(nil), IDs: test.ids}
		txn := pr.Prepare(0x100000005, time.UnixMilli(77), r)
		if test.want != jute.OK {
			if txn.Op() != jute.OpError || txn.Err != test.want || len(pr.order) > 0 {
				t.Errorf("%s: %v %v, want %v", test.name, txn.Op(), txn.Err, test.want)
			}
			continue
		}
		// The leader reads its config out of the record, and the znode is as it says.
		record, ok := zab.RecordOf(txn.Zxid, txn.Append(nil))
		want := three + "server.4=d:1:2:observer;0.0.0.0:3\nversion=100000005"
		if !ok || record.Config == nil || record.Config.String() != want {
			t.Fatalf("%s: the record's config is %v", test.name, record.Config)
		}
		// What is prepared is seen by the next request: the znode has no version that counts.
		set := &Request{Session: 1, Op: jute.OpSetData, IDs: super, Body: (&jute.Operation{Op: jute.OpSetData, Path: []byte(tree.ConfigPath), Data: []byte("x"), Version: 0}).Append(nil)}
		if txn := pr.Prepare(0x100000006, time.UnixMilli(78), set); txn.Err != jute.ErrBadVersion {
			t.Errorf("setData behind it: %v %v", txn.Op(), txn.Err)
		}
		var result tree.Result
		changes := tr.Apply(&txn, &result, nil)
		pr.Applied(&txn)
		stat := jute.Stat{Mzxid: 0x100000005, Mtime: 77, Version: -1, Aversion: -1, DataLength: int32(len(want))}
		if result.Stat != stat || string(result.Data) != want || string(tr.Lookup(tree.ConfigPath).Data()) != want {
			t.Errorf("%s: %+v\n%s", test.name, result.Stat, result.Data)
		}
		if len(changes) != 1 || changes[0].Kind != tree.DataChanged || changes[0].Path != tree.ConfigPath {
			t.Errorf("%s: %+v", test.name, changes)
		}
		if tr.Digest() != digest || txn.Digest != digest {
			t.Errorf("%s: the digest is %d in the tree and %d in the transaction, and was %d", test.name, tr.Digest(), txn.Digest, digest)
		}
		reply := replyData(nil, &result)
		var response jute.GetDataResponse
		d := jute.NewDecoder(reply)
		if response.Decode(&d); d.Err() != nil || d.Len() > 0 || string(response.Data) != want || response.Stat != stat {
			t.Errorf("%s: the reply is %+v", test.name, response)
		}
	}
}

// TestPrepareReconfigVoters has a server that is left alone: with standaloneEnabled it is no ensemble.
func TestPrepareReconfigVoters(t *testing.T) {
	v1 := parseConfig(t, "server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:participant;0.0.0.0:3\nversion=1")
	for _, standalone := range []bool{true, false} {
		pr, _ := testPreparer(t, func(c *config.Config) { c.ReconfigEnabled, c.StandaloneEnabled = true, standalone })
		pr.Members(&members{v1, v1, ensemble.Set{1}})
		r := &Request{internal: true, Op: jute.OpReconfig, IDs: []jute.ID{{Scheme: "super"}}, Body: (&jute.ReconfigRequest{LeavingServers: []byte("2"), CurConfigID: -1}).Append(nil)}
		txn := pr.Prepare(5, time.UnixMilli(0), r)
		if got, want := fmt.Sprint(txn.Err), map[bool]string{true: fmt.Sprint(jute.ErrBadArguments), false: fmt.Sprint(jute.OK)}[standalone]; got != want {
			t.Errorf("standaloneEnabled=%v: %s, want %s", standalone, got, want)
		}
	}
}
