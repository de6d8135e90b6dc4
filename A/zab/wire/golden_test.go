package wire

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quoll/ensemble"
	"quoll/jute"
)

const (
	goldenFile = "../../testdata/ensemble/packets.txt"
	specFile   = "../../docs/spec/ensemble-protocol.md"
)

// golden is one captured packet.
type golden struct {
	name, kind string
	bytes      []byte
	meanings   []string
}

func readGolden(t testing.TB) []golden {
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if head, _, ok := strings.Cut(line, ":"); ok && line[0] >= 'A' && line[0] <= 'Z' {
			words := strings.Split(head, " ")
			name := strings.Join(words[:len(words)-1], " ")
			all = append(all, golden{name: name, kind: words[len(words)-1]})
			continue
		}
		g := &all[len(all)-1]
		field, meaning, ok := strings.Cut(line, "\t")
		if ok {
			g.meanings = append(g.meanings, meaning)
		}
		var b []byte
		if field[0] == '"' {
			s, err := strconv.Unquote(field)
			if err != nil {
				t.Fatalf("%s:%d: %v", goldenFile, i+1, err)
			}
			b = []byte(s)
		} else if b, err = hex.DecodeString(field); err != nil {
			t.Fatalf("%s:%d: %v", goldenFile, i+1, err)
		}
		g.bytes = append(g.bytes, b...)
	}
	return all
}

// TestGolden decodes each captured packet with a Reader, compares field by field, and encodes it again.
func TestGolden(t *testing.T) {
	types := map[Type]bool{}
	for _, g := range readGolden(t) {
		t.Run(g.name, func(t *testing.T) {
			r := NewReader(strings.NewReader(string(g.bytes)), jute.MaxBuffer)
			var got []string
			var again []byte
			var err error
			switch g.kind {
			case "initial":
				var m InitialMessage
				m, err = r.InitialMessage()
				got, again = describeInitial(m), m.Append(nil)
			case "frame":
				var body []byte
				body, err = r.Frame()
				d := jute.NewDecoder(body)
				var n Notification
				n.Decode(&d)
				if d.Err() != nil {
					t.Error(d.Err())
				}
				got, again = describeNotification(len(body), n), n.AppendFrame(nil)
				if len(body) == 40 { // we only send version 2
					again = append(g.bytes[:4:4], append(again[4:40], 0, 0, 0, 1)...)
				}
			case "packet":
				var p Packet
				p, err = r.Packet()
				types[p.Type] = true
				var data []byte
				got, data = describePacket(t, p)
				if (data == nil) != (p.Data == nil) || string(data) != string(p.Data) {
					t.Errorf("the data is encoded as %x", data)
				}
				if again = p.Append(nil); p.Size() != len(again) {
					t.Errorf("Size %d of %d", p.Size(), len(again))
				}
			case "auth":
				var next bool
				if next, err = r.AuthNext(); err != nil || !next {
					t.Errorf("AuthNext: %v, %v", next, err)
				}
				var p AuthPacket
				p, err = r.AuthPacket()
				got = []string{"magic", fmt.Sprintf("status %d", p.Status), fmt.Sprintf("token %d bytes", len(p.Token))}
				if len(p.Token) > 0 {
					got = append(got, "token")
				}
				again = p.Append(nil)
			case "snapshot":
				got = describeSnapshot(t, g.bytes)
				again = g.bytes
				r = NewReader(strings.NewReader(""), 0)
			default:
				t.Fatalf("unknown kind %q", g.kind)
			}
			if err != nil {
				t.Fatal(err)
			}
			if left, _ := r.Read(make([]byte, 1)); left != 0 {
				t.Error("bytes are left")
			}
			if !slices.Equal(got, g.meanings) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(g.meanings, "\n"))
			}
			if string(again) != string(g.bytes) {
				t.Errorf("encoded\n%x\nwant\n%x", again, g.bytes)
			}
		})
	}
	for typ, name := range typeNames {
		if !types[typ] {
			t.Errorf("no packet of type %s", name)
		}
	}
	if len(typeNames) != 19 || Type(20).String() != "type 20" {
		t.Errorf("%d types, the twentieth is %s", len(typeNames), Type(20))
	}
}

// TestAppendix: the packets are those of the specification, as far as it gives their bytes.
func TestAppendix(t *testing.T) {
	spec, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]golden{}
	for _, g := range readGolden(t) {
		byName[g.name] = g
	}
	heading := regexp.MustCompile(`(?m)^\*\*([A-D]\d+(?: stream)?) [^\n]*?\*\*(?: ` + "`([0-9a-f]+)`" + `[^\n]*|\n` + "```" + `\n([^\n]+))`)
	found := heading.FindAllStringSubmatch(string(spec), -1)
	if len(found) != len(byName)-4 { // the four authentication packets are given in words
		t.Errorf("%d packets in the specification, %d in the file", len(found), len(byName))
	}
	for _, f := range found {
		name, bytes := f[1], strings.ReplaceAll(f[2]+f[3], " ", "")
		g, ok := byName[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		got := hex.EncodeToString(g.bytes)
		parts := strings.Split(bytes, "…")
		if !strings.HasPrefix(got, parts[0]) || !strings.HasSuffix(got, parts[len(parts)-1]) || len(parts) == 1 && got != bytes {
			t.Errorf("%s is\n%s\nin the specification\n%s", name, got, bytes)
		}
	}
}

func describeInitial(m InitialMessage) (lines []string) {
	if m.Version != 0 {
		lines = append(lines, fmt.Sprintf("version %d", m.Version))
	}
	lines = append(lines, fmt.Sprintf("sid %d", m.SID))
	if m.Version != 0 {
		length := len(m.Addrs) - 1
		var addrs []string
		for _, a := range m.Addrs {
			length += len(a.String())
			addrs = append(addrs, "address "+a.String())
		}
		lines = append(lines, fmt.Sprintf("length %d", length), strings.Join(addrs, ", "))
	}
	return lines
}

func describeNotification(length int, n Notification) []string {
	lines := []string{
		fmt.Sprintf("length %d", length), fmt.Sprintf("state %d", n.State), fmt.Sprintf("leader %d", n.Leader), "zxid " + zxid(n.Zxid),
		fmt.Sprintf("round %d", n.Round), fmt.Sprintf("peerEpoch %d", n.PeerEpoch), fmt.Sprintf("version %d", n.Version),
	}
	if n.Version > 1 {
		lines = append(lines, fmt.Sprintf("config %d bytes", len(n.Config)), "config")
	}
	return lines
}

func zxid(z int64) string {
	if z < 0 {
		return strconv.FormatInt(z, 10)
	}
	return fmt.Sprintf("0x%x", z)
}

// describePacket also returns the data, encoded from what was decoded of it.
func describePacket(t *testing.T, p Packet) (lines []string, data []byte) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("type %s", p.Type)
	add("zxid %s", zxid(p.Zxid))
	if p.Data == nil {
		add("data null")
	} else {
		add("data %d bytes", len(p.Data))
		d := jute.NewDecoder(p.Data)
		data = []byte{}
		switch p.Type {
		case TypeFollowerInfo, TypeObserverInfo:
			var r LearnerInfo
			r.Decode(&d)
			add("sid %d", r.SID)
			add("protocolVersion %#x", r.ProtocolVersion)
			if r.ConfigVersion != NoConfigVersion {
				add("configVersion 0x%x", r.ConfigVersion)
			}
			data = r.Append(data)
		case TypeLeaderInfo:
			var r LeaderInfo
			r.Decode(&d)
			add("protocolVersion %#x", r.ProtocolVersion)
			data = r.Append(data)
		case TypeAckEpoch:
			var r AckEpoch
			r.Decode(&d)
			add("currentEpoch %d", r.CurrentEpoch)
			data = r.Append(data)
		case TypeNewLeader:
			if _, err := ensemble.Parse(string(p.Data)); err != nil {
				t.Error(err)
			}
			add("config")
			data = p.Data
		case TypeRequest:
			var r Request
			r.Decode(&d)
			add("session 0x%x", r.SessionID)
			add("cxid %d", r.Cxid)
			add("op %s", r.Op)
			lines = append(lines, describeBody(t, r.Op, r.Body)...)
			data = r.Append(data)
		case TypeProposal, TypeInform:
			lines = append(lines, describeTxn(t, p.Data)...)
			data = p.Data
		case TypeCommitAndActivate, TypeInformAndActivate:
			var r Activation
			r.Decode(&d)
			add("leader %d", r.Leader)
			if len(r.Txn) > 0 {
				lines = append(lines, describeTxn(t, r.Txn)...)
			}
			data = r.Append(data)
		case TypeRevalidate:
			if len(p.Data) == 9 {
				var r SessionValid
				r.Decode(&d)
				add("session 0x%x", r.ID)
				add("valid %v", r.Valid)
				data = r.Append(data)
				break
			}
			fallthrough
		case TypePing:
			for d.Len() > 0 {
				var r Session
				r.Decode(&d)
				add("session 0x%x", r.ID)
				add("timeout %d", r.Timeout)
				data = r.Append(data)
			}
		}
		if d.Err() != nil {
			t.Error(d.Err())
		}
	}
	if p.AuthInfo == nil {
		add("authinfo null")
	} else {
		add("authinfo %d", len(p.AuthInfo))
		for _, id := range p.AuthInfo {
			add("scheme %s", id.Scheme)
			add("id %s", id.ID)
		}
	}
	return lines, data
}

func describeBody(t *testing.T, op jute.Op, body []byte) (lines []string) {
	d := jute.NewDecoder(body)
	switch op {
	case jute.OpCreateSession:
		lines = append(lines, fmt.Sprintf("timeout %d", d.Int32()))
	case jute.OpCreate:
		var r jute.CreateRequest
		r.Decode(&d)
		var acl []jute.ACL
		for _, a := range r.ACL {
			acl = append(acl, jute.ACL{Perms: a.Perms, Scheme: string(a.Scheme), ID: string(a.ID)})
		}
		lines = append(describeCreate(string(r.Path), r.Data, acl), fmt.Sprintf("flags %d", r.Flags))
	case jute.OpSync:
		lines = append(lines, "path "+d.String())
	}
	if d.Err() != nil || d.Len() > 0 {
		t.Errorf("body: %v, %d bytes left", d.Err(), d.Len())
	}
	return lines
}

func describeCreate(path string, data []byte, acl []jute.ACL) []string {
	lines := []string{"path " + path, fmt.Sprintf("data %d bytes", len(data)), "data " + string(data), fmt.Sprintf("acl %d", len(acl))}
	for _, a := range acl {
		lines = append(lines, fmt.Sprintf("perms %d", a.Perms), "scheme "+a.Scheme, "id "+a.ID)
	}
	return lines
}

func describeTxn(t *testing.T, entry []byte) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	d := jute.NewDecoder(entry)
	var h jute.TxnHeader
	h.Decode(&d)
	add("clientId 0x%x", h.ClientID)
	add("cxid %d", h.Cxid)
	add("zxid 0x%x", h.Zxid)
	add("time %d", h.Time)
	add("op %s", jute.Op(h.Type))
	if d.Len() == 0 {
		return lines
	}
	switch jute.Op(h.Type) {
	case jute.OpCreateSession:
		add("timeout %d", d.Int32())
	case jute.OpCreate:
		var r jute.CreateTxn
		r.Decode(&d)
		lines = append(lines, describeCreate(string(r.Path), r.Data, r.ACL)...)
		add("ephemeral %v", r.Ephemeral)
		add("parentCVersion %d", r.ParentCVersion)
	case jute.OpCloseSession:
		var r jute.CloseSessionTxn
		r.Decode(&d)
		add("paths %d", len(r.Paths))
		for _, path := range r.Paths {
			add("path %s", path)
		}
	case jute.OpReconfig:
		var r jute.SetDataTxn
		r.Decode(&d)
		add("path %s", r.Path)
		add("data %d bytes", len(r.Data))
		add("config")
		add("version %d", r.Version)
	}
	var digest jute.TxnDigest
	digest.Decode(&d)
	add("digest version %d", digest.Version)
	add("digest 0x%x", digest.TreeDigest)
	if d.Err() != nil || d.Len() > 0 {
		t.Errorf("entry: %v, %d bytes left", d.Err(), d.Len())
	}
	return lines
}

func describeSnapshot(t *testing.T, stream []byte) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	d := jute.NewDecoder(stream)
	sessions := d.Int32()
	add("%d sessions", sessions)
	for range sessions {
		var s Session
		s.Decode(&d)
		add("id 0x%x", s.ID)
		add("timeout %d", s.Timeout)
	}
	acls := d.Int32()
	add("%d acls", acls)
	for range acls {
		add("acl %d", d.Int64())
		entries := d.Int32()
		add("%d entries", entries)
		for range entries {
			var a jute.ACL
			a.Decode(&d)
			lines = append(lines, fmt.Sprintf("perms %d", a.Perms), "scheme "+a.Scheme, "id "+a.ID)
		}
	}
	add("path %q", d.String())
	add("data %d bytes", len(d.Buffer()))
	add("acl %d", d.Int64())
	add("path %q", d.String())
	signature := d.String()
	add("signature %s", signature)
	if d.Err() != nil || signature != SnapSignature {
		t.Errorf("%v, signature %s", d.Err(), signature)
	}
	return lines
}
