package zabtest

import (
	"fmt"

	"quoll/zab/wire"
)

func (w *World) tracing() bool { return w.trace != nil }

// tracef writes a line with the time.
func (w *World) tracef(format string, args ...any) {
	w.trace(fmt.Sprintf("%8.3f ", w.now.Seconds()) + fmt.Sprintf(format, args...))
}

// zxidText is a zxid as the specification writes it.
func (w *World) zxidText(zxid int64) string {
	if zxid == -1 {
		return "-1"
	}
	return fmt.Sprintf("%d.%x", zxid>>32, uint32(zxid))
}

// tracePacket writes a packet that arrives. Heartbeats are left out.
func (w *World) tracePacket(l *link, to *server, p *wire.Packet) {
	from := l.ends[1-l.endOf(to)]
	if p.Type == wire.TypePing {
		return
	}
	w.tracef("%d>%d %v %s", from.sid, to.sid, p.Type, w.zxidText(p.Zxid))
}
