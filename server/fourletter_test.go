package server

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"quoll/client"
	"quoll/jute"
)

// matches compares an answer with its form, in which {n} stands for a number, {f} for a Java double, {x} for hex digits, {time} for a
// Java date and {text} for the rest of a line.
func matches(t *testing.T, what, answer, form string) {
	t.Helper()
	pattern := regexp.QuoteMeta(strings.TrimPrefix(form, "\n"))
	for name, expr := range map[string]string{
		"n": `-?\d+`, "f": `\d+\.\d{1,4}`, "x": `[0-9a-f]+`, "text": `.*`, "time": `[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \S+ \d{4}`,
	} {
		pattern = strings.ReplaceAll(pattern, `\{`+name+`\}`, expr)
	}
	if !regexp.MustCompile(`\A` + pattern + `\z`).MatchString(answer) {
		t.Errorf("%s answers\n%s\nwhich is not of the form\n%s", what, answer, form)
	}
}

// realWords are the rows that are four-letter words.
func realWords(yield func(*word) bool) {
	for i := range wordTable {
		if wordTable[i].name != "" && !yield(&wordTable[i]) {
			return
		}
	}
}

// TestCommandsAreThoseOfTheSpecification reads the table of commands in docs/spec/operations.md.
func TestCommandsAreThoseOfTheSpecification(t *testing.T) {
	text, err := os.ReadFile("../docs/spec/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "### 5.2 Commands")
	table, _, _ = strings.Cut(table, "### 5.3")
	var want, have []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`(?: \\(([a-z, ]+)\\))? \\|").FindAllStringSubmatch(table, -1) {
		names := []string{row[1]}
		if row[2] != "" {
			names = append(names, strings.Split(row[2], ", ")...)
		}
		want = append(want, strings.Join(names, " "))
	}
	for _, c := range Commands() {
		have = append(have, strings.Join(c.Names, " "))
		if (c.facts == nil) != c.Guarded {
			t.Errorf("%s tells nothing, and is not guarded", c.Names[0])
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) || len(want) < 28 {
		t.Errorf("the table has  %q\nthe page has   %q", have, want)
	}
}

// TestWordsAreThoseOfTheSpecification reads the list of words in docs/spec/operations.md and asks each.
func TestWordsAreThoseOfTheSpecification(t *testing.T) {
	text, err := os.ReadFile("../docs/spec/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile("(?m)^\\* Words are known: `([a-z ]+)`, and the telnet close sequence `ff f4 ff fd`").FindSubmatch(text)
	if list == nil {
		t.Fatal("the page has no list of words")
	}
	want := append(strings.Fields(string(list[1])), "telnet close")
	slices.Sort(want)
	var have []string
	for w := range realWords {
		have = append(have, w.name)
	}
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Fatalf("the table has  %q\nthe page has   %q", have, want)
	}
	s := startServer(t)
	for w := range realWords {
		question := w.bytes
		if w.name == "stmk" {
			question += "\x00\x00\x00\x00\x00\x00\x00\x00"
		}
		if empty := w.name == "hash" || w.name == "telnet close"; (ask(t, s, question) == "") != empty {
			t.Errorf("%s: empty answer is %v", w.name, !empty)
		}
	}
}

func TestWordsOnlyFromTheWhitelist(t *testing.T) {
	for _, test := range []struct {
		setting string
		allowed []string
	}{
		{"4lw.commands.whitelist=", []string{"srvr"}},
		{"4lw.commands.whitelist= ruok , isro", []string{"srvr", "ruok", "isro"}},
	} {
		s := startServer(t, test.setting)
		for w := range realWords {
			refusal := w.name + " is not executed because it is not in the whitelist.\n"
			if answer := ask(t, s, w.bytes); (answer != refusal) != slices.Contains(test.allowed, w.name) {
				t.Errorf("%s: %s answers %q", test.setting, w.name, answer)
			}
		}
	}
}

// TestNoWords sends what looks like a word and is a length.
func TestNoWords(t *testing.T) {
	s := startServer(t)
	for _, text := range []string{"abcd", "RUOK", "\xff\xf4\xff\xfe"} {
		if answer := ask(t, s, text); answer != "" {
			t.Errorf("%q is answered: %q", text, answer)
		}
	}
	if answer := ask(t, s, "ruok\r\nand more"); answer != "imok" {
		t.Errorf("what follows a word disturbs it: %q", answer)
	}
	c := client.NewRawConn(dial(t, s))
	if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 10_000}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "ruok"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("within a session ruok is answered: %q, %v", rest, err)
	}
}

// TestWordFormats asks after a small program.
func TestWordFormats(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, "dataDir="+dir, "maxClientCnxns=61", "tickTime=1000")
	c := connect(t, s)
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Create(ctx, "/app", []byte("x"), client.OpenACL, jute.ModePersistent))
	must(c.Create(ctx, "/app/e", []byte("abc"), client.OpenACL, jute.ModeEphemeral))
	_, _, err := c.Get(ctx, "/app", true)
	must(nil, err)
	_, err = c.Exists(ctx, "/none", true)
	if err == nil {
		t.Fatal("/none exists")
	}
	must(c.ChildNames(ctx, "/app", true))
	id, _, _ := c.Session()
	session := fmt.Sprintf("0x%x", uint64(id))
	addr := c.LocalAddr().String()
	_, port, _ := net.SplitHostPort(s.addr())
	stats := `
Latency min/avg/max: {n}/{f}/{n}
Received: {n}
Sent: {n}
Connections: 2
Outstanding: 0
Zxid: 0x3
Mode: standalone
Node count: 7
`[1:]
	version := `3.9.5-[0-9a-f]{40}, built on \d{4}-\d\d-\d\d \d\d:\d\d UTC`
	if !regexp.MustCompile(`\A` + version + `\z`).MatchString(FullVersion()) {
		t.Errorf("version %q", FullVersion())
	}
	for _, test := range []struct{ word, form string }{
		{"ruok", "imok"},
		{"isro", "rw"},
		{"gtmk", "306"},
		{"stmk\x00\x00\x00\x01\x00\x00\x00\x02", "4294967298"},
		{"gtmk", "4294967298"},
		{"stmk\xff\xff\xff\xff\xff\xff\xff\xff", "-1"},
		{"hash", ""},
		{"srvr", "Zookeeper version: " + FullVersion() + "\n" + stats},
		{"stat", "Zookeeper version: " + FullVersion() + "\nClients:\n" +
			" /" + addr + "[{n}](queued=0,recved=6,sent=6)\n" +
			" /127.0.0.1:{n}[0](queued=0,recved=1,sent=0)\n\n" + stats},
		{"cons", " /" + addr + "[{n}](queued=0,recved=6,sent=6,sid=" + session + ",lop=GETC,est={n},to=20000,lcxid=0x5,lzxid=0x3,lresp={n},llat={n},minlat={n},avglat={n},maxlat={n})\n" +
			" /127.0.0.1:{n}[0](queued=0,recved=1,sent=0)\n\n"},
		{"conf", `
clientPort=` + port + `
secureClientPort=-1
dataDir=` + dir + `/version-2
dataDirSize={n}
dataLogDir=` + dir + `/version-2
dataLogSize={n}
tickTime=1000
maxClientCnxns=61
minSessionTimeout=2000
maxSessionTimeout=20000
clientPortListenBacklog=-1
serverId=0
`},
		{"dirs", "datadir_size: {n}\nlogdir_size: {n}\n"},
		{"dump", `
SessionTracker dump:
Session Sets (1)/(1):
1 expire at {time}:
	` + session + `
ephemeral nodes dump:
Sessions with Ephemerals (1):
` + session + `:
	/app/e
Connections dump:
Connections Sets (2)/(2):
1 expire at {time}:
	ip: /127.0.0.1:{n} sessionId: 0x0
1 expire at {time}:
	ip: /` + addr + ` sessionId: ` + session + `
`},
		{"envi", `
Environment:
zookeeper.version=` + FullVersion() + `
host.name={text}
java.version={text}
java.vendor={text}
java.home={text}
java.class.path={text}
java.library.path={text}
java.io.tmpdir={text}
java.compiler=<NA>
os.name={text}
os.arch={text}
os.version={text}
user.name={text}
user.home={text}
user.dir={text}
os.memory.free={n}MB
os.memory.max={n}MB
os.memory.total={n}MB
`},
		{"wchs", "1 connections watching 2 paths\nTotal watches:2\n"},
		{"crst", "Connection stats reset.\n"},
		{"cons", " /" + addr + "[{n}](queued=0,recved=0,sent=0,sid=" + session + ",lop=NA,est={n},to=20000,lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n" +
			" /127.0.0.1:{n}[0](queued=0,recved=1,sent=0)\n\n"},
		{"srst", "Server stats reset.\n"},
		{"srvr", strings.NewReplacer("Received: {n}", "Received: 1", "Sent: {n}", "Sent: 1", "{n}/{f}/{n}", "0/0.0/0").
			Replace("Zookeeper version: " + FullVersion() + "\n" + stats)},
	} {
		matches(t, strconv.Quote(test.word), ask(t, s, test.word), test.form)
		eventually(t, "only the session's connection is left", func() bool { return s.connectionCount() == 1 })
	}
	for word, want := range map[string][]string{
		"wchc": {session + "\n\t/app\n\t/none\n\n", session + "\n\t/none\n\t/app\n\n"},
		"wchp": {"/app\n\t" + session + "\n/none\n\t" + session + "\n\n", "/none\n\t" + session + "\n/app\n\t" + session + "\n\n"},
	} {
		if answer := ask(t, s, word); !slices.Contains(want, answer) {
			t.Errorf("%s answers %q", word, answer)
		}
	}
	eventually(t, "the session's connection only reads", func() bool { return strings.Contains(ask(t, s, "cons"), addr+"[1](") })
	// What the directory holds is what the words say, and the log alone is larger than nothing.
	var size int64
	entries, err := os.ReadDir(dir + "/version-2")
	must(nil, err)
	for _, e := range entries {
		info, err := e.Info()
		must(nil, err)
		size += info.Size()
	}
	if want := fmt.Sprintf("datadir_size: %d\nlogdir_size: %d\n", size, size); ask(t, s, "dirs") != want || size == 0 {
		t.Errorf("dirs answers %q, not %q", ask(t, s, "dirs"), want)
	}
}

// TestLastOperation follows what cons says of a connection: errors of reads keep the name, errors of writes have none, pings keep the
// cxid of the request before.
func TestLastOperation(t *testing.T) {
	s := startServer(t)
	c := client.NewRawConn(dial(t, s))
	if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 10_000}); err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct {
		op   jute.Op
		xid  int32
		body client.Body
		want string
	}{
		{jute.OpSync, 5, &jute.PathRequest{Path: []byte("/")}, "lop=SYNC,.*lcxid=0x5,"},
		{jute.OpPing, jute.XidPing, nil, "lop=PING,.*lcxid=0x5,"},
		{jute.OpExists, 6, &jute.PathWatchRequest{Path: []byte("/none")}, "lop=EXIS,.*lcxid=0x6,"},
		{jute.OpDelete, 7, &jute.DeleteRequest{Path: []byte("/none"), Version: -1}, "lop=NA,.*lcxid=0x7,lzxid=0x2,"},
		{jute.OpAuth, -4, &jute.AuthPacket{Scheme: []byte("digest"), Auth: []byte("u:p")}, "lop=NA,.*lcxid=0x7,"},
	} {
		if err := c.Request(test.xid, test.op, test.body); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Reply(); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`\(queued=0,recved=%d,sent=%d,sid=.*%s`, i+2, i+2, test.want)
		if answer := ask(t, s, "cons"); !regexp.MustCompile(want).MatchString(answer) {
			t.Errorf("after %v cons says\n%s", test.op, answer)
		}
	}
}

// TestInterest has the bits of a Java selection key: a word, reading, and writing too.
func TestInterest(t *testing.T) {
	c, _ := hotConn(t)
	check := func(want string) {
		t.Helper()
		var b strings.Builder
		w := bufio.NewWriter(&b)
		c.writeInfo(w, true)
		w.Flush()
		if got := b.String(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	check(" /127.0.0.1:9[1](queued=0,recved=0,sent=0)\n")
	c.write(make([]byte, 10), 1, nil)
	check(" /127.0.0.1:9[5](queued=0,recved=0,sent=1)\n")
	c.flush()
	c.push(&Request{})
	check(" /127.0.0.1:9[1](queued=1,recved=0,sent=1)\n")
	c.inWord.Store(true)
	check(" /127.0.0.1:9[0](queued=1,recved=0,sent=1)\n")
}

// TestHash makes transactions until two digests are remembered.
func TestHash(t *testing.T) {
	s := startServer(t)
	c := connect(t, s)
	for range 256 {
		if _, err := c.Set(t.Context(), "/", nil, -1); err != nil {
			t.Fatal(err)
		}
	}
	matches(t, "hash", ask(t, s, "hash"), "80: {n}\n100: {n}\n")
}

// TestWatchWordsInSlices asks about more watches than are looked at in one go, while others come and go.
func TestWatchWordsInSlices(t *testing.T) {
	const each = 3*watchSlice + 7
	s := startServer(t)
	wanted := map[string]map[string]bool{} // session, path
	for n := range 3 {
		c := connect(t, s)
		id, _, _ := c.Session()
		mine := map[string]bool{}
		for i := range each {
			path := fmt.Sprintf("/%d", i*(n+1)) // some paths have several watchers
			mine[path] = true
			if _, err := c.Exists(t.Context(), path, true); err == nil {
				t.Fatal("the path exists")
			}
		}
		wanted[fmt.Sprintf("0x%x", uint64(id))] = mine
	}
	paths := map[string]bool{}
	for _, mine := range wanted {
		maps.Copy(paths, mine)
	}
	if want, answer := fmt.Sprintf("3 connections watching %d paths\nTotal watches:%d\n", len(paths), 3*each), ask(t, s, "wchs"); answer != want {
		t.Errorf("wchs answers %q, not %q", answer, want)
	}

	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		other := connect(t, s)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			path := fmt.Sprintf("/other%d", i%1000)
			_, _ = other.Exists(t.Context(), path, true)
			_ = other.RemoveWatches(t.Context(), path, jute.WatcherData, false)
		}
	})
	for _, word := range []string{"wchc", "wchp"} {
		found := map[string]map[string]bool{}
		head := ""
		for line := range strings.Lines(ask(t, s, word)) {
			line = strings.TrimSuffix(line, "\n")
			entry, ok := strings.CutPrefix(line, "\t")
			if !ok {
				head = line
				continue
			}
			session, path := head, entry
			if word == "wchp" {
				session, path = entry, head
			}
			if found[session] == nil {
				found[session] = map[string]bool{}
			}
			found[session][path] = true
		}
		for session, mine := range wanted {
			if !maps.Equal(found[session], mine) {
				t.Errorf("%s has %d watches of session %s, not %d", word, len(found[session]), session, len(mine))
			}
		}
	}
	close(stop)
	busy.Wait()
}

// TestJavaRemote prints addresses as Java does.
func TestJavaRemote(t *testing.T) {
	for _, test := range []struct{ addr, want string }{
		{"127.0.0.1:2181", "/127.0.0.1:2181"},
		{"[::1]:65000", "/[0:0:0:0:0:0:0:1]:65000"},
		{"[2001:db8::ff00:42:8329]:1", "/[2001:db8:0:0:0:ff00:42:8329]:1"},
	} {
		addr, err := net.ResolveTCPAddr("tcp", test.addr)
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{net: remoteAddr{addr: addr}, ipID: jute.ID{Scheme: "ip", ID: javaAddress(addr.IP, addr.Zone)}}
		if got := c.javaRemote(); got != test.want {
			t.Errorf("%s is printed %s, not %s", test.addr, got, test.want)
		}
	}
}

type remoteAddr struct {
	net.Conn
	addr net.Addr
}

func (r remoteAddr) RemoteAddr() net.Addr { return r.addr }
