package quorum

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"

	"quoll/config"
	"quoll/metrics"
	"quoll/zab"
	"quoll/zab/wire"
)

// illegible is an App that cannot read what the leader answers.
type illegible struct{ App }

func (illegible) Answer(wire.Packet) error { return errors.New("too short") }

// TestIllegibleAnswer is that a learner leaves a leader whose answer cannot be read: a client waits for it, and nobody else would end that.
func TestIllegibleAnswer(t *testing.T) {
	ours, leaders := net.Pipe()
	defer leaders.Close()
	p := &Peer{app: illegible{}, log: slog.New(slog.DiscardHandler), state: newQueue(), wake: make(chan struct{}, 1), ctx: context.Background(), links: map[zab.LinkID]*link{}}
	p.opts.Config = config.Defaults()
	p.logging.m = metrics.New(metrics.Null)
	l := p.newLink(&conn{Conn: ours, raw: ours, reader: wire.NewReader(ours, 0)}, true)
	p.links[l.id] = l
	var running sync.WaitGroup
	running.Go(func() { p.state.run(nil) })
	p.deliver(zab.Deliver{Link: l.id, Packet: wire.Packet{Type: wire.TypeRevalidate}})
	p.state.close()
	running.Wait()
	if len(p.inbox.list) != 1 {
		t.Fatalf("the node hears %d things", len(p.inbox.list))
	}
	if down, ok := p.inbox.list[0].event.(zab.LinkDown); !ok || down.Link != l.id {
		t.Errorf("the node hears %+v", p.inbox.list[0].event)
	}
	if _, err := leaders.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
}
