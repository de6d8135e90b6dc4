package tlsconf

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"quoll/ratelog"
)

const (
	fetchTime  = 15 * time.Second // goes on when nobody waits any more, so that the next one finds something; Java's time
	askAgain   = 30 * time.Second // what is older is asked for again; Java's time for lists
	silentTime = 10 * time.Second // nobody waits for a host for which somebody has waited in vain
	perHost    = 32               // connections to a host
	maxFetches = 1024             // fetches at the same time; the others wait, as long as each has
	maxReading = 128 << 20        // bytes of what is being read, each counted as the longest that it may be
	maxAnswers = 64 << 20         // bytes of all that is kept
)

// answer is what a list or a responder says, and is not changed any more.
type answer struct {
	until time.Time // when it ends
	size  int       // bytes, about

	list     *revokedList // or nil
	modified string       // when the server says that the list was made

	status    int       // what a responder says: a status of package ocsp
	revokedAt time.Time // with ocsp.Revoked
}

// answers keeps what others say, each for [askAgain], and until it ends if nothing newer is to be had. No lock is held while anything is fetched, and what several want is fetched once.
type answers struct {
	ctx    context.Context // until closed
	close  context.CancelFunc
	client http.Client
	rated  *ratelog.Logger
	group  singleflight.Group

	fetches *semaphore.Weighted // of maxFetches
	reading *semaphore.Weighted // of maxReading: a server that has said nothing yet has none of it

	mu     sync.Mutex
	kept   map[string]*list.Element // of *kept
	recent list.List                // of the same, what was wanted last in front
	size   int                      // of all
	silent map[string]time.Time     // until when nobody waits for a host
}

// kept is an answer in its place.
type kept struct {
	*answer
	key   string
	asked time.Time // for the last time
}

func newAnswers(log *slog.Logger) *answers {
	a := &answers{rated: ratelog.New(log), kept: map[string]*list.Element{}, silent: map[string]time.Time{}}
	a.fetches, a.reading = semaphore.NewWeighted(maxFetches), semaphore.NewWeighted(maxReading)
	a.ctx, a.close = context.WithCancel(context.Background())
	a.client.Transport = &http.Transport{MaxConnsPerHost: perHost, MaxIdleConnsPerHost: perHost, IdleConnTimeout: askAgain, MaxResponseHeaderBytes: 16 << 10, DisableCompression: true}
	return a
}

// answerKey is what an answer is kept under.
func answerKey(of ...[]byte) string {
	h := sha256.New()
	for _, part := range of {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	return string(h.Sum(nil))
}

// get is what is kept under a key, or what ask says, which is given what is there and may be old. It waits for no longer than [waitTime], and until ctx is done. The errors name from,
// the URL.
func (a *answers) get(ctx context.Context, from, key string, ask func(ctx context.Context, old *answer) (*answer, error)) (*answer, error) {
	u, err := url.Parse(from)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s: only http and https are fetched", from)
	}
	old, due := a.look(key)
	if !due {
		return old, nil
	}
	if a.isSilent(u.Host) {
		err = errors.New("the server has not answered lately")
	} else {
		wait := time.NewTimer(waitTime)
		defer wait.Stop()
		select {
		case got := <-a.group.DoChan(key, func() (any, error) { return a.ask(key, u.Host, old, ask) }):
			if err = got.Err; err == nil {
				return got.Val.(*answer), nil
			}
		case <-wait.C:
			a.setSilent(u.Host, true)
			err = errors.New("the server does not answer in time")
		case <-ctx.Done(): // others have taken the time
			err = errors.New("no time was left for the server's answer")
		}
	}
	err = fmt.Errorf("%s: %w", from, err)
	if old == nil {
		return nil, err
	}
	a.rated.Warn("cannot ask again whether certificates are revoked; what was said before holds on", "until", old.until.UTC().Format(time.RFC3339), "error", err)
	return old, nil
}

// ask asks and keeps the answer, whether or not somebody waits for it.
func (a *answers) ask(key, host string, old *answer, ask func(ctx context.Context, old *answer) (*answer, error)) (*answer, error) {
	ctx, cancel := context.WithTimeout(a.ctx, fetchTime)
	defer cancel()
	var got *answer
	err := a.fetches.Acquire(ctx, 1)
	if err == nil {
		defer a.fetches.Release(1)
		got, err = ask(ctx, old)
	}
	if err == nil {
		a.setSilent(host, false)
		a.keep(key, got)
	} else if old != nil {
		a.keep(key, old)
	}
	return got, err
}

// fetch makes a request and has read what is said, which is not longer than most.
func (a *answers) fetch(request *http.Request, most int64, read func(response *http.Response, body []byte) (*answer, error)) (*answer, error) {
	response, err := a.client.Do(request)
	if err != nil {
		return nil, errors.Unwrap(err) // the URL is known
	}
	defer response.Body.Close()
	if err := a.reading.Acquire(request.Context(), most); err != nil {
		return nil, err
	}
	defer a.reading.Release(most)
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(body)) > most:
		return nil, fmt.Errorf("it is longer than %d bytes", most)
	}
	return read(response, body)
}

// look finds an answer that has not ended, and says whether it is time to ask again.
func (a *answers) look(key string) (found *answer, due bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.kept[key]
	if e == nil {
		return nil, true
	}
	k, now := e.Value.(*kept), time.Now()
	if !now.Before(k.until) {
		a.drop(e)
		return nil, true
	}
	a.recent.MoveToFront(e)
	return k.answer, now.Sub(k.asked) >= askAgain
}

// keep keeps an answer that was just asked for. What was not wanted for the longest time goes when there is too much.
func (a *answers) keep(key string, one *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.kept[key]; e != nil {
		a.drop(e)
	}
	a.kept[key] = a.recent.PushFront(&kept{one, key, time.Now()})
	for a.size += one.size; a.size > maxAnswers; {
		a.drop(a.recent.Back())
	}
}

// drop forgets an answer. The lock is held.
func (a *answers) drop(e *list.Element) {
	k := a.recent.Remove(e).(*kept)
	delete(a.kept, k.key)
	a.size -= k.size
}

func (a *answers) isSilent(host string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.silent[host])
}

// setSilent says whether a host has let somebody wait in vain.
func (a *answers) setSilent(host string, silent bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for h, until := range a.silent {
		if h == host && !silent || !now.Before(until) {
			delete(a.silent, h)
		}
	}
	if silent {
		a.silent[host] = now.Add(silentTime)
	}
}
