package inspect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// Query says which records of a log are wanted: those that fulfil every condition that is set.
type Query struct {
	// From and To are the lowest and highest zxid; a To of 0 is no bound.
	From, To int64
	// Since and Until bound the wall clock of the server that proposed the transaction, both included; zero times are no bounds.
	Since, Until time.Time
	// Path is a znode that the transaction names, as a part of a multi too, or with Recursive any znode below it; empty is no condition.
	Path      string
	Recursive bool
	// Session is the session that asked for the transaction; nil is no condition.
	Session *int64
}

// clockSlack is by how much the clock of the servers may have been set back without a search by time missing files.
const clockSlack = time.Hour

// FindLog prints the records of the given files that a query wants, as [PrintLog] does, and returns how many they are. The files belong to
// one server and are in the order of their zxids; those that can hold no wanted record are not read. A record with a wrong checksum is
// searched like the others. The search of a file ends where a server stops reading it; if that is damage, the error tells once all
// files are read.
func FindLog(w io.Writer, files []txnlog.NamedFile, q Query, o Options) (found int64, err error) {
	out := bufio.NewWriter(w)
	if files, err = o.wanted(files, q); err != nil {
		return 0, err
	}
	var line []byte
	var damage []error
	for _, f := range files {
		err := o.eachRecord(f.Path, func(s *txnlog.LogScanner, rec txnlog.Record, d txnlog.Defect) error {
			if d != txnlog.Whole {
				rest, err := s.Rest()
				if err != nil {
					return err
				}
				if d != txnlog.ZeroLength && d != txnlog.CutOff || rest > 0 {
					damage = append(damage, damageAt(rec, d))
				}
			}
			if rec.Entry == nil {
				return nil
			}
			if ok, err := q.matches(rec.Entry); err != nil {
				return damageAt(rec, err)
			} else if !ok {
				return nil
			}
			found++
			var err error
			if line, err = o.appendTxn(line[:0], rec.Entry); err != nil {
				return damageAt(rec, err)
			}
			if d == txnlog.WrongChecksum {
				line = append([]byte("CRC ERROR - "), line...)
			}
			_, err = out.Write(line)
			return err
		})
		if err != nil && !errors.Is(err, ErrDamage) {
			return found, errors.Join(err, out.Flush())
		}
		if err != nil {
			damage = append(damage, err)
		}
	}
	return found, errors.Join(append(damage, out.Flush())...)
}

// wanted leaves out the files that can hold nothing a query wants, by the zxid in the next file's name and by the times of first records.
func (o Options) wanted(files []txnlog.NamedFile, q Query) ([]txnlog.NamedFile, error) {
	var list []txnlog.NamedFile
	for i, f := range files {
		next := i+1 < len(files) && files[i+1].Zxid >= 0 && f.Zxid >= 0
		if next && files[i+1].Zxid <= q.From || q.To != 0 && f.Zxid > q.To {
			continue
		}
		if !q.Until.IsZero() {
			if at, ok, err := o.firstTime(f.Path); err != nil {
				return nil, err
			} else if ok && at.Add(-clockSlack).After(q.Until) {
				continue
			}
		}
		if !q.Since.IsZero() && next {
			if at, ok, err := o.firstTime(files[i+1].Path); err != nil {
				return nil, err
			} else if ok && at.Add(clockSlack).Before(q.Since) {
				continue
			}
		}
		list = append(list, f)
	}
	return list, nil
}

// firstTime is the time of a file's first record, if it has one.
func (o Options) firstTime(name string) (at time.Time, ok bool, err error) {
	s, err := txnlog.ScanLog(o.fs(), name, o.Limit)
	if err != nil {
		return at, false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, d, err := s.Header(); err != nil || d != txnlog.Whole {
		return at, false, err
	}
	rec, _, err := s.Next()
	if err != nil || rec.Entry == nil {
		return at, false, err
	}
	d := jute.NewDecoder(rec.Entry)
	var h jute.TxnHeader
	h.Decode(&d)
	return time.UnixMilli(h.Time), true, d.Err()
}

func (q Query) matches(entry []byte) (bool, error) {
	d := jute.NewDecoder(entry)
	var h jute.TxnHeader
	h.Decode(&d)
	at := time.UnixMilli(h.Time)
	switch {
	case h.Zxid < q.From || q.To != 0 && h.Zxid > q.To,
		!q.Since.IsZero() && at.Before(q.Since), !q.Until.IsZero() && at.After(q.Until),
		q.Session != nil && h.ClientID != *q.Session:
		return false, nil
	case q.Path == "":
		return true, nil
	}
	txn, err := tree.DecodeTxn(entry)
	if err != nil {
		return false, err
	}
	return q.names(&txn), nil
}

// names reports whether a transaction is about a wanted path.
func (q Query) names(txn *tree.Txn) bool {
	if q.about(txn.Path) {
		return true
	}
	for _, path := range txn.Paths {
		if q.about(path) {
			return true
		}
	}
	for i := range txn.Multi {
		if q.names(&txn.Multi[i]) {
			return true
		}
	}
	return false
}

func (q Query) about(path string) bool {
	if path == "" {
		return false
	}
	if path == q.Path {
		return true
	}
	rest, below := strings.CutPrefix(path, strings.TrimSuffix(q.Path, "/"))
	return q.Recursive && below && strings.HasPrefix(rest, "/")
}

// ParseZxids reads a zxid or a range A-B of them; A or B may be missing. Zxids are decimal, or hexadecimal with 0x in front.
func ParseZxids(text string) (from, to int64, err error) {
	a, b, isRange := strings.Cut(text, "-")
	if !isRange {
		b = a
	}
	if a != "" {
		if from, err = ParseZxid(a); err != nil {
			return 0, 0, err
		}
	}
	if b != "" {
		to, err = ParseZxid(b)
	}
	if err == nil && (text == "-" || text == "" || to != 0 && to < from) {
		err = fmt.Errorf("%q is no zxid and no range of zxids", text)
	}
	return from, to, err
}

// timeLayouts are the ways to write a time, and how long the time so written lasts.
var timeLayouts = []struct {
	layout string
	lasts  func(time.Time) time.Time
}{
	{"2006-01-02T15:04:05.999999999Z07:00", plus(time.Second)},
	{"2006-01-02 15:04:05", plus(time.Second)},
	{"2006-01-02T15:04:05", plus(time.Second)},
	{"2006-01-02 15:04", plus(time.Minute)},
	{"2006-01-02T15:04", plus(time.Minute)},
	{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
}

func plus(d time.Duration) func(time.Time) time.Time {
	return func(t time.Time) time.Time { return t.Add(d) }
}

// ParseTimes reads a time or a range A..B of times; A or B may be missing. A time is `2006-01-02`, `2006-01-02 15:04`, `2006-01-02 15:04:05`, in
// the location loc, or RFC 3339. A range includes the whole day, minute or second that it ends with, and a single time stands for
// all of its own.
func ParseTimes(text string, loc *time.Location) (since, until time.Time, err error) {
	a, b, isRange := strings.Cut(text, "..")
	if !isRange {
		b = a
	}
	if a != "" {
		if since, _, err = parseTime(a, loc); err != nil {
			return since, until, err
		}
	}
	if b != "" {
		_, until, err = parseTime(b, loc)
	}
	if err == nil && (a == "" && b == "" || b != "" && until.Before(since)) {
		err = fmt.Errorf("%q is no time and no range of times", text)
	}
	return since, until, err
}

func parseTime(text string, loc *time.Location) (first, last time.Time, err error) {
	for _, l := range timeLayouts {
		if at, err := time.ParseInLocation(l.layout, text, loc); err == nil {
			return at, l.lasts(at).Add(-time.Millisecond), nil
		}
	}
	return first, last, fmt.Errorf("%q is no time; write it as 2006-01-02, 2006-01-02 15:04:05 or 2006-01-02T15:04:05Z", text)
}

// ParseZxid reads a zxid as Java's tools do: decimal, or hexadecimal with 0x in front.
func ParseZxid(text string) (int64, error) {
	zxid, err := strconv.ParseInt(text, 0, 64)
	if err != nil || zxid < 0 {
		return 0, fmt.Errorf("%q is no zxid; write it as 0x1a or 26", text)
	}
	return zxid, nil
}
