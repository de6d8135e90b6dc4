package zab

import (
	"testing"
	"time"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// BenchmarkCommit is what one transaction costs a leader of five: proposed, synced, acknowledged by four followers, committed.
func BenchmarkCommit(b *testing.B) {
	c, err := ensemble.Parse("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2\nserver.5=e:1:2\nversion=0")
	if err != nil {
		b.Fatal(err)
	}
	n := New(Options{SID: 5, InitLimit: 5, SyncLimit: 1 << 20}, State{Committed: c})
	now := time.Duration(0)
	var out []Effect
	step := func(events ...Event) {
		for _, ev := range events {
			n.Step(now, ev)
		}
		out = n.Effects(out[:0])
	}
	for sid := int64(1); sid < 5; sid++ {
		step(Heard{sid, vote(Looking, 5, 0, 1, 0)})
	}
	now = 200 * time.Millisecond
	step(Tick{})
	for sid := int64(1); sid < 5; sid++ {
		step(LinkUp{Link: LinkID(sid)}, from(LinkID(sid), wire.TypeFollowerInfo, 0, infoOf(sid, 0)))
	}
	step(EpochPersisted{AcceptedEpoch, 1})
	for link := LinkID(1); link < 5; link++ {
		step(from(link, wire.TypeAckEpoch, 0, ackEpochOf(0)))
	}
	step(EpochPersisted{CurrentEpoch, 1})
	for link := LinkID(1); link < 5; link++ {
		step(from(link, wire.TypeAck, z(1, 0), nil))
	}
	data := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		zxid, ok := n.NextZxid()
		if !ok {
			b.Fatal("nothing can be proposed")
		}
		step(Propose{Record{Zxid: zxid, Data: data}})
		step(Synced{zxid})
		for link := LinkID(1); link < 5; link++ {
			step(Sent{Link: link, Bytes: 140}, from(link, wire.TypeAck, zxid, nil))
		}
	}
}
