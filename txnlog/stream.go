package txnlog

import (
	"fmt"
	"io"

	"quoll/adler32"
	"quoll/jute"
)

// streamEnd follows the state in a stream.
const streamEnd = "BenWasHere"

// WriteStream writes a state as a leader sends it to a learner behind the packet SNAP: sessions, ACL lists and nodes as in a snapshot, but no header, checksum or
// other block. Of src the rest is not looked at.
func WriteStream(out io.Writer, src SnapshotSource) error {
	w := snapshotWriter{out: out, sum: adler32.New()}
	if err := w.body(src); err != nil {
		return err
	}
	w.buf = jute.AppendString(w.buf, streamEnd)
	w.flush()
	return w.err
}

// ReadStream reads what [WriteStream] has written into a sink. It returns the bytes that it has read behind the stream's end. An error says at which byte
// of the stream. limit is as for [LoadNewestSnapshot].
func ReadStream(src io.Reader, limit int, sink SnapshotSink) (rest []byte, err error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	r := snapshotReader{src: src, sum: adler32.New(), limit: limit}
	var info SnapshotInfo
	r.body(&info, sink)
	if end := r.string(); r.err == nil && end != streamEnd {
		r.fail(fmt.Errorf("the stream ends with %q and not with %q", end, streamEnd))
	}
	if r.err != nil {
		return nil, fmt.Errorf("byte %d of the stream: %w", r.at, r.err)
	}
	return r.buf[r.pos:], nil
}

// DecodeSnapshot reads a snapshot that is not compressed, as it is in a file, into a sink. Of the info only File and Zxid are not set, and what follows the snapshot is not looked at.
// An error says at which byte. Limit is as for [LoadNewestSnapshot].
func DecodeSnapshot(src io.Reader, limit int, sink SnapshotSink) (info SnapshotInfo, err error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	r := snapshotReader{src: src, sum: adler32.New(), limit: limit}
	r.read(&info, sink)
	if r.err != nil {
		return info, fmt.Errorf("byte %d of the snapshot: %w", r.at, r.err)
	}
	return info, nil
}
