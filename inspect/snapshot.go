package inspect

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"strings"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// read reads a snapshot file into a sink. What is wrong with it is [ErrDamage].
func (o Options) read(name string, sink txnlog.SnapshotSink) (txnlog.SnapshotInfo, error) {
	info, err := txnlog.ReadSnapshot(o.fs(), name, o.Limit, sink)
	var system *fs.PathError
	switch {
	case err == nil:
		return info, nil
	case errors.As(err, &system):
		return info, err
	}
	return info, fmt.Errorf("%w: snapshot %s: %w", ErrDamage, name, err)
}

// census counts what a printed snapshot must say before its znodes, or after them.
type census struct {
	noSink
	nodes      int
	sessions   []txnlog.Session
	ephemerals map[int64]int
	last       int64 // highest mzxid or pzxid
}

func (c *census) Session(id int64, timeout int32) {
	c.sessions = append(c.sessions, txnlog.Session{ID: id, Timeout: timeout})
}

func (c *census) Node(_ string, _ []byte, _ int64, s jute.StatPersisted) error {
	c.nodes++
	c.last = max(c.last, s.Mzxid, s.Pzxid)
	if tree.Owner(s.EphemeralOwner).Ephemeral() {
		c.ephemerals[s.EphemeralOwner]++
	}
	return nil
}

// PrintSnapshot prints a snapshot as Java's SnapshotFormatter does: every znode with its stat and the length of its data, or with data its
// content in Base64, then the sessions. The znodes come in the order of the file, which for one that Java has written is its order too.
// The file is read twice. A snapshot with a wrong checksum is printed, and the error is [ErrDamage]; of one that cannot be read to its end
// nothing is.
func PrintSnapshot(w io.Writer, name string, data bool, o Options) error {
	c := census{ephemerals: map[int64]int{}}
	info, damage := o.read(name, &c)
	if damage != nil && !errors.Is(damage, txnlog.ErrChecksum) {
		return damage
	}
	out := bufio.NewWriter(w)
	// Java has the root under two names.
	fmt.Fprintf(out, "ZNode Details (count=%d):\n", c.nodes+1)
	if _, err := o.read(name, &nodePrinter{w: out, o: o, data: data}); err != nil && damage == nil {
		return errors.Join(err, out.Flush())
	}
	fmt.Fprint(out, "----\nSession Details (sid, timeout, ephemeralCount):\n")
	hashes := make([]uint32, len(c.sessions))
	for i, s := range c.sessions {
		hashes[i] = longHash(s.ID)
	}
	for _, i := range hashOrder(hashes, 16) {
		s := c.sessions[i]
		fmt.Fprintf(out, "0x%014x, %d, %d\n", uint64(s.ID), s.Timeout, c.ephemerals[s.ID])
	}
	fmt.Fprintf(out, "----\nLast zxid: 0x%x\n", uint64(max(info.Zxid, c.last)))
	return errors.Join(damage, out.Flush())
}

type nodePrinter struct {
	noSink
	w    *bufio.Writer
	o    Options
	data bool
	line []byte
}

func (p *nodePrinter) Node(path string, data []byte, _ int64, s jute.StatPersisted) error {
	if path == tree.RootPath {
		path = "/"
	}
	b := fmt.Appendf(p.line[:0], "----\n%s\n  cZxid = 0x%014x\n  ctime = ", path, uint64(s.Czxid))
	b = p.o.at(s.Ctime).AppendFormat(b, dateToString)
	b = fmt.Appendf(b, "\n  mZxid = 0x%014x\n  mtime = ", uint64(s.Mzxid))
	b = p.o.at(s.Mtime).AppendFormat(b, dateToString)
	b = fmt.Appendf(b, "\n  pZxid = 0x%014x\n  cversion = %d\n  dataVersion = %d\n  aclVersion = %d\n  ephemeralOwner = 0x%014x\n",
		uint64(s.Pzxid), s.Cversion, s.Version, s.Aversion, uint64(s.EphemeralOwner))
	if p.data {
		b = append(b, "  data = "...)
		b = append(base64.StdEncoding.AppendEncode(b, data), '\n')
	} else {
		b = fmt.Appendf(b, "  dataLength = %d\n", len(data))
	}
	p.line = b
	_, err := p.w.Write(b)
	return err
}

// Verdict is what a check of a snapshot came to.
type Verdict struct {
	txnlog.SnapshotInfo
	// Computed is the digest of the znodes in the file.
	Computed int64
	// Verified says that it is the digest in the file.
	Verified bool
}

func (v Verdict) String() string {
	zxid := "no zxid in its name"
	if v.Zxid >= 0 {
		zxid = fmt.Sprintf("zxid 0x%x", v.Zxid)
	}
	s := fmt.Sprintf("%s: whole, %s, %d znodes, %d sessions, ", v.File, zxid, v.Nodes, v.Sessions)
	switch {
	case v.Verified:
		return s + fmt.Sprintf("digest %d of 0x%x verified", v.Digest, uint64(v.DigestZxid))
	case !v.HasDigest:
		return s + "no digest in it"
	case v.DigestZxid == 0:
		return s + "its digest is that of no transaction, as after a start"
	case v.DigestZxid < v.Zxid:
		return s + fmt.Sprintf("its digest is that of 0x%x, which servers leave aside", v.DigestZxid)
	}
	return s + fmt.Sprintf("fuzzy: written while transactions up to 0x%x were applied", v.DigestZxid)
}

// VerifySnapshot reads a snapshot to its end: structure, checksums, znodes after their parents and none twice, and the digest, which it computes
// anew. The two digests must be equal unless transactions were applied while the file was written. The error is [ErrDamage] with the
// byte at which the damage is.
func VerifySnapshot(name string, o Options) (Verdict, error) {
	s := snapshotVerifier{seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	info, err := o.read(name, &s)
	v := Verdict{SnapshotInfo: info, Computed: int64(s.digest)}
	v.File = name
	v.Verified = info.HasDigest && info.Digest == v.Computed
	if err == nil && info.HasDigest && info.DigestZxid == info.Zxid && info.Zxid != 0 && !v.Verified {
		err = fmt.Errorf("%w: snapshot %s: the digest of its znodes is %d, but it says %d", ErrDamage, name, v.Computed, info.Digest)
	}
	return v, err
}

type snapshotVerifier struct {
	noSink
	seed     maphash.Seed
	seen     map[uint64]struct{} // hashes of paths: too few bits collide for two of them to matter
	digester tree.Digester
	digest   uint64
}

func (v *snapshotVerifier) Node(path string, data []byte, _ int64, s jute.StatPersisted) error {
	if path != tree.RootPath {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("znode path %q does not start with a slash", path)
		}
		if _, ok := v.seen[maphash.String(v.seed, tree.ParentPath(path))]; !ok {
			return fmt.Errorf("znode %q comes before its parent", path)
		}
	}
	hash := maphash.String(v.seed, path)
	if _, twice := v.seen[hash]; twice {
		return fmt.Errorf("znode %q comes twice", path)
	}
	v.seen[hash] = struct{}{}
	if tree.Digested(path) {
		v.digest += uint64(v.digester.Node(v.digester.Content(path, data), &s))
	}
	return nil
}
