package zab

import (
	"encoding/binary"
	"testing"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// BenchmarkFollow is what one transaction costs a follower: received, appended, synced, acknowledged, committed.
func BenchmarkFollow(b *testing.B) {
	c, err := ensemble.Parse("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nversion=0")
	if err != nil {
		b.Fatal(err)
	}
	n := New(Options{SID: 1, InitLimit: 5, SyncLimit: 1 << 20}, State{Committed: c})
	var out []Effect
	step := func(events ...Event) []Effect {
		for _, ev := range events {
			n.Step(0, ev)
		}
		out = n.Effects(out[:0])
		return out
	}
	const link = 7
	dials := pick[Dial](step(Heard{2, vote(Following, 3, 0, 1, 0)}, Heard{3, vote(Leading, 3, 0, 1, 0)}))
	if len(dials) != 1 {
		b.Fatalf("dials %+v", dials)
	}
	step(LinkUp{link, dials[0].Dial})
	step(from(link, wire.TypeLeaderInfo, z(1, 0), (&wire.LeaderInfo{ProtocolVersion: wire.ProtocolVersion}).Append(nil)))
	step(EpochPersisted{AcceptedEpoch, 1})
	step(from(link, wire.TypeDiff, 0, nil), from(link, wire.TypeNewLeader, z(1, 0), []byte(c.String())))
	step(EpochPersisted{CurrentEpoch, 1})
	step(from(link, wire.TypeUpToDate, -1, nil))
	data := txn(0, "some data of a transaction that is about a hundred bytes long, as most of them are")
	const zxidAt = 12 // in the transaction's header
	zxid := z(1, 0)
	b.ReportAllocs()
	for b.Loop() {
		zxid++
		binary.BigEndian.PutUint64(data[zxidAt:], uint64(zxid))
		step(from(link, wire.TypeProposal, zxid, data))
		if len(step(Synced{zxid})) != 1 {
			b.Fatalf("%+v where an ACK was due", out)
		}
		step(from(link, wire.TypeCommit, zxid, nil))
	}
}
