package main

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"quoll/jute"
)

// dialing is how many sessions are opened, or asked something, at the same time, where it is about many.
const dialing = 64

// connects is the rate at which n sessions are opened, dialing of them at a time.
func connects(n int) func(*turn) ([]figure, error) {
	return func(t *turn) ([]figure, error) {
		n := t.many(n)
		at := t.e.target()
		own := ownCPU()
		before, err := at.cpu()
		if err != nil {
			return nil, err
		}
		began := time.Now()
		conns, err := dialFleet(n, at.addrs...)
		if err != nil {
			return nil, err
		}
		took := time.Since(began)
		after, err := at.cpu()
		if err != nil {
			return nil, err
		}
		own = ownCPU() - own
		if err := conns.finish(); err != nil {
			return nil, err
		}
		return []figure{
			{"connects/s", float64(n) / took.Seconds()},
			{"CPU µs/connect", micros(after-before) / float64(n)},
			{"generator CPU µs/connect", micros(own) / float64(n)},
		}, nil
	}
}

// fires is how often the znode of the watch row is changed.
const fires = 10

// fanOut is what a change costs that n sessions watch: the time from the write to the last event, and CPU time.
func fanOut(n int) func(*turn) ([]figure, error) {
	return func(t *turn) ([]figure, error) {
		n := t.many(n)
		at := t.e.target()
		writer, err := dial(at.addrs[0])
		if err != nil {
			return nil, err
		}
		defer writer.Close()
		if err := writer.ask(create(t.znode, append(jute.AppendBuffer(nil, []byte{}), openACL...))); err != nil {
			return nil, err
		}
		conns, err := dialFleet(n, at.addrs...)
		if err != nil {
			return nil, err
		}
		defer conns.close()
		var (
			watch = newStep(jute.OpExists, t.znode, []byte{1}, statLength)
			set   = newStep(jute.OpSetData, t.znode, append(jute.AppendBuffer(nil, []byte("x")), anyVersion...), statLength)
			last  []time.Duration
			cpu   time.Duration
			own   time.Duration
		)
		for range fires {
			if err := conns.each(dialing, func(_ int, c *conn) error { return c.ask(watch) }); err != nil {
				return nil, err
			}
			events := make(chan error, 1)
			var latest atomic.Int64
			var wait atomic.Int64
			base := time.Now()
			go func() {
				events <- conns.each(n, func(_ int, c *conn) error {
					wait.Add(1)
					if err := c.event(jute.EventNodeDataChanged); err != nil {
						return err
					}
					now := int64(time.Since(base))
					for old := latest.Load(); old < now && !latest.CompareAndSwap(old, now); old = latest.Load() {
					}
					return nil
				})
			}()
			// All of them are to wait in their read, and nobody to have anything else to do.
			for wait.Load() < int64(n) {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond)
			before, err := at.cpu()
			if err != nil {
				return nil, err
			}
			mine := ownCPU()
			began := time.Since(base)
			if err := writer.ask(set); err != nil {
				return nil, err
			}
			if err := <-events; err != nil {
				return nil, err
			}
			after, err := at.cpu()
			if err != nil {
				return nil, err
			}
			cpu += after - before
			own += ownCPU() - mine
			last = append(last, time.Duration(latest.Load())-began)
		}
		if err := conns.finish(); err != nil {
			return nil, err
		}
		if err := writer.ask(remove(t.znode)); err != nil {
			return nil, err
		}
		if err := writer.finish(); err != nil {
			return nil, err
		}
		return []figure{
			{"last event, ms", milliseconds(middle(last))},
			{"worst last event, ms", milliseconds(slices.Max(last))},
			{"CPU µs/event", micros(cpu) / float64(n*fires)},
			{"generator CPU µs/event", micros(own) / float64(n*fires)},
		}, nil
	}
}

// event waits for an event of the type.
func (c *conn) event(typ jute.EventType) error {
	c.SetDeadline(time.Now().Add(replyTimeout))
	frame, err := c.frame()
	if err != nil {
		return err
	}
	if len(frame) < replyHeader+4 || int32(binary.BigEndian.Uint32(frame)) != jute.XidEvent || binary.BigEndian.Uint32(frame[replyHeader:]) != uint32(typ) {
		return c.wrong("%x where an event of type %d was due", frame, typ)
	}
	return nil
}

// pings is how often each of the idle sessions pings.
const pings = 5

// idling is how long sessions do nothing before their memory is read: what connecting took is no cost of being there.
const idling = 12 * time.Second

// idle is what sessions cost that do nothing but ping: resident memory for each of n, and CPU time for a ping.
func idle(n int) func(*turn) ([]figure, error) {
	return func(t *turn) ([]figure, error) {
		n := t.many(n)
		// The first sessions bring what all of them share.
		first, err := dialFleet(100, t.e.addr)
		if err != nil {
			return nil, err
		}
		defer first.close()
		time.Sleep(t.long(idling))
		before, err := t.resident()
		if err != nil {
			return nil, err
		}
		conns, err := dialFleet(n, t.e.addr)
		if err != nil {
			return nil, err
		}
		defer conns.close()
		ping := func(_ int, c *conn) error { return c.ping() }
		if err := conns.each(dialing, ping); err != nil {
			return nil, err
		}
		time.Sleep(t.long(idling))
		after, err := t.resident()
		if err != nil {
			return nil, err
		}
		busy, err := cpuTime(t.e.PID())
		if err != nil {
			return nil, err
		}
		for range pings {
			if err := conns.each(dialing, ping); err != nil {
				return nil, err
			}
		}
		then, err := cpuTime(t.e.PID())
		return []figure{
			{"bytes for each", float64(after-before) / float64(n)},
			{"CPU µs/ping", micros(then-busy) / float64(n*pings)},
		}, err
	}
}
