package inspect

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"quoll/tree"
	"quoll/txnlog"
)

// eachRecord calls fn for every record of a log file up to its end, those with a wrong checksum included, and one last time with what is
// found at the end: ZeroLength, as a rule.
func (o Options) eachRecord(name string, fn func(*txnlog.LogScanner, txnlog.Record, txnlog.Defect) error) (err error) {
	s, err := txnlog.ScanLog(o.fs(), name, o.Limit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, d, err := s.Header(); err != nil || d != txnlog.Whole {
		return errors.Join(err, headerDamage(name, d))
	}
	for {
		rec, d, err := s.Next()
		if err == nil {
			err = fn(s, rec, d)
		}
		if err != nil || d != txnlog.Whole && d != txnlog.WrongChecksum {
			return err
		}
	}
}

func headerDamage(name string, d txnlog.Defect) error {
	if d == txnlog.Whole {
		return nil
	}
	return fmt.Errorf("%w: transaction log %s, offset 0: %v; a server does not start with it", ErrDamage, name, d)
}

func damageAt(rec txnlog.Record, what any) error {
	return fmt.Errorf("%w: transaction log %s, offset %d%s: %v", ErrDamage, rec.File, rec.Offset, zxidOf(rec), what)
}

// zxidOf is the record's zxid as a part of a sentence, if it has one.
func zxidOf(rec txnlog.Record) string {
	if rec.Entry == nil {
		return ""
	}
	return fmt.Sprintf(", zxid 0x%x", rec.Zxid)
}

// PrintLog prints a log as Java's TxnLogToolkit does. A record with a wrong checksum is printed twice, first with `CRC ERROR - ` in front.
// The error is [ErrDamage] for whatever a server would not read or not start with, once everything before it is printed.
func PrintLog(w io.Writer, name string, o Options) error {
	out := bufio.NewWriter(w)
	err := o.printLog(out, name)
	return errors.Join(err, out.Flush())
}

func (o Options) printLog(w io.Writer, name string) error {
	if err := o.printHeader(w, name); err != nil {
		return err
	}
	var line []byte
	var damage error
	count := 0
	err := o.eachRecord(name, func(s *txnlog.LogScanner, rec txnlog.Record, d txnlog.Defect) error {
		if d != txnlog.Whole {
			rest, err := s.Rest()
			if err != nil {
				return err
			}
			if damage == nil && (d != txnlog.ZeroLength || rest > 0) && !(d == txnlog.CutOff && rest == 0) {
				damage = damageAt(rec, d)
			}
		}
		if rec.Entry != nil {
			var err error
			if line, err = o.appendTxn(line[:0], rec.Entry); err != nil {
				return damageAt(rec, err)
			}
			if d == txnlog.WrongChecksum {
				fmt.Fprintf(w, "CRC ERROR - %s", line)
			}
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		switch d {
		case txnlog.Whole, txnlog.WrongChecksum:
			count++
		case txnlog.ZeroLength, txnlog.CutOff:
			fmt.Fprintf(w, "EOF reached after %d txns.\n", count)
		}
		return nil
	})
	return errors.Join(err, damage)
}

// printHeader prints the first line of a dump.
func (o Options) printHeader(w io.Writer, name string) (err error) {
	s, err := txnlog.ScanLog(o.fs(), name, o.Limit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	h, d, err := s.Header()
	if err != nil || d != txnlog.Whole {
		return errors.Join(err, headerDamage(name, d))
	}
	_, err = fmt.Fprintf(w, "ZooKeeper Transactional Log File with dbid %d txnlog format version %d\n", h.DBID, h.Version)
	return err
}

// LogReport is what a check of logs came to.
type LogReport struct {
	// Damaged says whether a server would not start with these logs, or would silently leave out what it has.
	Damaged bool
	// Records is the number of whole records, First and Last the zxids of the first and the highest.
	Records     int64
	First, Last int64
}

// Beside is what a server knows of its logs when it starts. The zero value is nothing.
type Beside struct {
	// Snapshot is the zxid of the newest snapshot.
	Snapshot int64
	// Mark is how far the logs were synced, if that is known.
	Mark *txnlog.Watermark
}

// VerifyLogs checks logs of one server, given in the order in which it reads them: the framing of every record, its checksum, that it can be
// decoded, and that no zxid is missing. It prints a line for each file and one for each thing found. A gap that the newest snapshot covers
// harms nobody: a learner that got a snapshot has such logs. Nor does damage behind the watermark, which was never acknowledged.
func VerifyLogs(w io.Writer, files []string, beside Beside, o Options) (LogReport, error) {
	v := logVerifier{w: w, o: o, beside: beside}
	for i, name := range files {
		if err := v.file(name, i == len(files)-1); err != nil {
			return v.report, err
		}
	}
	if mark := v.beside.Mark; mark != nil && mark.Offset > 0 && mark.Zxid > max(v.report.Last, v.beside.Snapshot) {
		v.report.Damaged = true
		fmt.Fprintf(w, "%s: ends at 0x%x, but was synced up to offset %d, zxid 0x%x; quoll does not start with it\n", mark.File, v.report.Last, mark.Offset, mark.Zxid)
	}
	return v.report, nil
}

type logVerifier struct {
	w      io.Writer
	o      Options
	beside Beside
	report LogReport
	// repeats counts the records of the file whose zxid was there before.
	repeats int
}

func (v *logVerifier) note(name string, rec txnlog.Record, what string) {
	fmt.Fprintf(v.w, "%s: offset %d%s: %s\n", name, rec.Offset, zxidOf(rec), what)
}

func (v *logVerifier) damage(name string, rec txnlog.Record, what string) {
	v.report.Damaged = true
	v.note(name, rec, what)
}

const (
	meansFatal  = "a server does not start with it"
	meansRepair = meansFatal + "; `quoll log repair` helps"
)

func (v *logVerifier) file(name string, newest bool) (err error) {
	s, err := txnlog.ScanLog(v.o.fs(), name, v.o.Limit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.Size() == 0 && newest {
		fmt.Fprintf(v.w, "%s: empty; a server removes it at its start\n", name)
		return nil
	}
	if _, d, err := s.Header(); err != nil {
		return err
	} else if d != txnlog.Whole {
		v.damage(name, txnlog.Record{}, fmt.Sprintf("%v; %s", d, meansRepair))
		return nil
	}
	var first, last, records int64
	v.repeats = 0
	for {
		rec, d, err := s.Next()
		if err != nil {
			return err
		}
		if d == txnlog.WrongChecksum {
			torn, err := s.Rest()
			if err != nil {
				return err
			}
			if newest && torn == 0 {
				v.note(name, rec, "the last record has a wrong checksum, as a power cut leaves it; quoll cuts it at its start, Java does not start with it")
				d = txnlog.NoEndMark
				rec.Entry = nil
			} else {
				v.damage(name, rec, fmt.Sprintf("%v; %s", d, meansRepair))
			}
		} else if d != txnlog.Whole {
			if err := v.end(name, s, rec, d, newest); err != nil {
				return err
			}
		}
		if d != txnlog.Whole && d != txnlog.WrongChecksum {
			break
		}
		if d == txnlog.Whole {
			if _, err := tree.DecodeTxn(rec.Entry); err != nil {
				v.damage(name, rec, fmt.Sprintf("%v; %s", err, meansFatal))
			}
		}
		v.order(name, rec)
		if records == 0 {
			first = rec.Zxid
		}
		records++
		last = max(last, rec.Zxid)
	}
	if records == 0 {
		fmt.Fprintf(v.w, "%s: no transactions\n", name)
		return nil
	}
	fmt.Fprintf(v.w, "%s: %d transactions, 0x%x to 0x%x, %d bytes\n", name, records, first, last, s.Offset())
	if v.repeats > 0 {
		fmt.Fprintf(v.w, "%s: %d of them come after one with that zxid or a higher one; servers apply them again\n", name, v.repeats)
	}
	return nil
}

// order looks at the zxid of one record after the others.
func (v *logVerifier) order(name string, rec txnlog.Record) {
	r := &v.report
	switch {
	case r.Records == 0:
		r.First = rec.Zxid
	case rec.Zxid <= r.Last:
		v.repeats++
	case txnlog.Follows(rec.Zxid, r.Last):
	case rec.Zxid <= v.beside.Snapshot+1:
		v.note(name, rec, fmt.Sprintf("transactions behind 0x%x are not in the logs; the snapshot 0x%x has them", r.Last, v.beside.Snapshot))
	default:
		v.damage(name, rec, fmt.Sprintf("transactions behind 0x%x are missing; %s", r.Last, meansFatal))
	}
	r.Records++
	r.Last = max(r.Last, rec.Zxid)
}

// end judges the place where a server stops reading a file.
func (v *logVerifier) end(name string, s *txnlog.LogScanner, rec txnlog.Record, d txnlog.Defect, newest bool) error {
	rest, err := s.Rest()
	if err != nil || rest == 0 {
		return err
	}
	at := s.Offset()
	behind, err := s.Resync()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%v, and %d bytes follow", d, rest)
	if behind {
		next, _, err := s.Next()
		if err != nil {
			return err
		}
		what += fmt.Sprintf(" with transactions from offset %d, zxid 0x%x", next.Offset, next.Zxid)
	}
	rec.Entry, rec.Offset = nil, at
	switch {
	case newest && v.beside.Mark != nil && v.beside.Mark.File == name && at >= v.beside.Mark.Offset:
		v.note(name, rec, what+": it is behind what was synced, so nothing in it was acknowledged; quoll cuts it at its start")
	case d == txnlog.BadLength || d == txnlog.ShortEntry:
		v.damage(name, rec, what+"; "+meansRepair)
	case behind:
		v.damage(name, rec, what+"; a server leaves them out and says nothing; `quoll log repair` helps")
	case newest:
		v.note(name, rec, what+": an incomplete end, as a crash leaves it; a server cuts it at its start")
	default:
		v.note(name, rec, what+": an incomplete end, as a crash leaves it; servers pass over it")
	}
	return nil
}
