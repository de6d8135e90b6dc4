package server

import "time"

const (
	// gatherLimit is how long a client is waited for at the most: a network between members that are far apart is not.
	gatherLimit = 4 * time.Millisecond
	// gatherRounds is the same, as a multiple of the time that a batch takes.
	gatherRounds = 3
	// gatherEnough is how many requests do not wait for more: one sync more costs little for each.
	gatherEnough = 64
	// gatherSpreads is how many times as far from its average as usual a client is waited for.
	gatherSpreads = 3
)

// gather says how long requests are held for those of clients that have just been answered and that are known to ask again at once. What came while others were being written would go
// without them, and the two would take turns, with a sync for each; together they are one batch. It belongs to one goroutine at a time, with its part of sessions; a time is one
// since the server's start.
type gather struct {
	thinking int           // clients that are waited for
	era      uint32        // a number for those that are counted
	due      time.Duration // when the last of them is expected
	left     time.Duration // when requests went that are not answered, 0 if there are none
	round    time.Duration // from there to the answers, an average
	holds    bool          // requests are being held
}

// habit is what gather knows of a session.
type habit struct {
	answered time.Duration // the last time, 0 for never
	thinking uint32        // gather.era of when it was counted among those that think, and 1 more; 0 if it is not
	// How many microseconds it takes to ask again, an average in which no time counts for more than one and a half times what anybody is waited for, and how far from that it is on average.
	think, spread uint16
}

// expected is after which time it has most likely asked again.
func (h *habit) expected() time.Duration {
	return time.Duration(int(h.think)+gatherSpreads*int(h.spread)) * time.Microsecond
}

// habitOf is that of a request's session, nil if there is none.
func (s *Server) habitOf(r *Request) *habit {
	session := (*session)(nil)
	if r.conn != nil {
		session = r.conn.session.Load()
	} else {
		session = s.sessions.get(r.Session)
	}
	if session == nil {
		return nil
	}
	return &session.habit
}

// patience is how long a client is waited for at the most.
func (g *gather) patience() time.Duration { return min(gatherRounds*g.round, gatherLimit) }

// replied notes that a client is about to be answered; nil stands for one that is not known.
func (g *gather) replied(now time.Duration, h *habit) {
	if g.left != 0 {
		g.round += (now - g.left - g.round) / 8
		g.left = 0
	}
	if h == nil {
		return
	}
	h.answered = now
	wait := h.expected() // 0 if it has not asked yet
	if wait == 0 || wait > g.patience() || h.thinking == g.era+1 {
		return
	}
	h.thinking = g.era + 1
	g.thinking++
	g.due = max(g.due, now+wait)
}

// came notes that a request of a client has arrived.
func (g *gather) came(now time.Duration, h *habit) {
	if h == nil {
		return
	}
	if h.thinking == g.era+1 {
		g.thinking--
	}
	h.thinking = 0
	if h.answered == 0 { // until more is known it takes too long to be waited for
		h.think = uint16(gatherLimit * 3 / 2 / time.Microsecond)
		return
	}
	think := int(min(now-h.answered, g.patience()*3/2) / time.Microsecond)
	off := think - int(h.think)
	h.think = uint16(int(h.think) + off/4)
	h.spread = uint16(int(h.spread) + (max(off, -off)-int(h.spread))/4)
}

// hold is how long n requests that are here are to wait, if no others come; 0 if they are to go.
func (g *gather) hold(now time.Duration, n int) time.Duration {
	if g.thinking == 0 || n >= gatherEnough {
		return 0
	}
	if now < g.due {
		g.holds = true
		return g.due - now
	}
	g.giveUp()
	return 0
}

// giveUp takes nobody to be thinking.
func (g *gather) giveUp() {
	g.thinking = 0
	g.era++
}

// leave notes that the n that are here go. Who has not come by then is not waited for any more.
func (g *gather) leave(now time.Duration, n int) {
	if g.thinking > 0 && n < gatherEnough {
		g.giveUp()
	}
	g.holds = false
	if g.left == 0 {
		g.left = now
	}
}
