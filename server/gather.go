package server

import "time"

const (
	// gatherLimit is how long requests are held at the most: a network between members that are far apart is not waited for.
	gatherLimit = 4 * time.Millisecond
	// gatherRounds is how many times as long as a batch takes clients that were answered are waited for.
	gatherRounds = 2
	// gatherEnough is how many requests do not wait for more: one sync more costs little for each.
	gatherEnough = 64
	// gatherPrompt is how often in a row a client has to have asked again at once to be waited for: one whose requests come by chance hardly ever has.
	gatherPrompt = 8
	// gatherFaith is how often in a row it may have been in vain before it is left for two batches, then for four and so on, gatherDespair the most that is counted.
	gatherFaith   = 2
	gatherDespair = gatherFaith + 6
)

// gather says how long requests are held for those of clients that have just been answered and that have asked again at once before. What came while others were being written would go
// without them, and the two would take turns, with a sync for each; together they are one batch. It belongs to one goroutine at a time, with its part of sessions; a time is one
// since the server's start.
type gather struct {
	thinking int           // prompt clients that were answered and have not asked again
	era      uint32        // a number for those that are counted
	answered time.Duration // when the last of them was
	left     time.Duration // when requests went that are not answered, 0 if there are none
	round    time.Duration // from there to the answers, an average
	holds    bool          // requests are being held
	vain     int           // how often in a row clients were waited for that did not come
	rest     int           // so many batches are not held
}

// habit is what gather knows of a session.
type habit struct {
	answered time.Duration // the last time, 0 for never
	thinking uint32        // gather.era of when it was counted among those that think, and 1 more; 0 if it is not
	prompt   uint8         // how often in a row it has asked again at once, up to gatherPrompt
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

// patience is how long it waits for a client.
func (g *gather) patience() time.Duration { return min(gatherRounds*g.round, gatherLimit) }

// replied notes that a client is about to be answered; nil stands for one that is not known.
func (g *gather) replied(now time.Duration, h *habit) {
	g.answered = now
	if g.left != 0 {
		g.round += (now - g.left - g.round) / 8
		g.left = 0
	}
	if h == nil {
		return
	}
	if h.answered = now; h.prompt == gatherPrompt && h.thinking != g.era+1 {
		h.thinking = g.era + 1
		g.thinking++
	}
}

// came notes that a request of a client has arrived. To be prompt is to come well before others would have given it up.
func (g *gather) came(now time.Duration, h *habit) {
	if h == nil {
		return
	}
	if h.thinking == g.era+1 {
		g.thinking--
	}
	h.thinking = 0
	if h.answered != 0 && now-h.answered < g.patience()*3/4 {
		h.prompt = min(h.prompt+1, gatherPrompt)
	} else {
		h.prompt = 0
	}
}

// hold is how long n requests that are here are to wait, if no others come; 0 if they are to go.
func (g *gather) hold(now time.Duration, n int) time.Duration {
	if g.thinking == 0 || n >= gatherEnough {
		return 0
	}
	wait := g.answered + g.patience() - now
	if wait <= 0 && !g.holds {
		g.giveUp()
	}
	if wait <= 0 || g.rest > 0 {
		return 0
	}
	g.holds = true
	return wait
}

// giveUp takes nobody to be thinking.
func (g *gather) giveUp() {
	g.thinking = 0
	g.era++
}

// leave notes that the n that are here go.
func (g *gather) leave(now time.Duration, n int) {
	switch {
	case !g.holds:
		g.rest = max(0, g.rest-1)
	case g.thinking == 0 || n >= gatherEnough:
		g.vain = 0
	default:
		g.giveUp()
		if g.vain = min(g.vain+1, gatherDespair); g.vain > gatherFaith {
			g.rest = 1 << (g.vain - gatherFaith)
		}
	}
	g.holds = false
	if g.left == 0 {
		g.left = now
	}
}
