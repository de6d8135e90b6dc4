package shell

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"quoll"
	"quoll/client"
	"quoll/jute"
)

func TestGrammar(t *testing.T) {
	g := &grammar{options: []option{flag("s", "a"), flag("e", "b"), value("v", "c"), value("file", "d")}}
	exclusive := &grammar{exclusive: true, required: true, options: []option{flag("n", "one"), value("b", "two")}}
	for _, test := range []struct {
		grammar *grammar
		line    string
		args    string
		values  map[string]string
		err     string
	}{
		{g, "c a b", "c a b", map[string]string{}, ""},
		{g, "c -s a -v 5 b", "c a b", map[string]string{"s": "", "v": "5"}, ""},
		{g, "c a -se b", "c a b", map[string]string{"s": "", "e": ""}, ""},
		{g, "c -sv5", "c", map[string]string{"s": "", "v": "5"}, ""},
		{g, "c -v=5", "c", map[string]string{"v": "5"}, ""},
		{g, "c -v -5 -", "c -", map[string]string{"v": "-5"}, ""},
		{g, "c -v -z", "c", map[string]string{"v": "-z"}, ""},
		{g, "c -v 1 -v 2", "c", map[string]string{"v": "1"}, ""},
		{g, "c -file x -- -s", "c -s", map[string]string{"file": "x"}, ""},
		{g, `c -v "5"`, "c", map[string]string{"v": "5"}, ""},
		{g, "c -v -s", "", nil, "MissingArgumentException: Missing argument for option: v"},
		{g, "c -v", "", nil, "MissingArgumentException: Missing argument for option: v"},
		{g, "c -z", "", nil, "UnrecognizedOptionException: Unrecognized option: -z"},
		{g, "c -sz", "", nil, "UnrecognizedOptionException: Unrecognized option: -sz"},
		{g, "c --s", "", nil, "UnrecognizedOptionException: Unrecognized option: --s"},
		{g, "c -file=x", "", nil, "UnrecognizedOptionException: Unrecognized option: -file=x"},
		{g, "c -s=x", "", nil, "UnrecognizedOptionException: Unrecognized option: -s=x"},
		{exclusive, "c -n -b 1", "", nil, "AlreadySelectedException: The option 'b' was specified but an option from this group has already been selected: 'n'"},
		{exclusive, "c a", "", nil, "MissingOptionException: Missing required option: [-n one, -b two]"},
	} {
		in, err := test.grammar.parse(strings.Fields(test.line))
		if test.err != "" {
			if err == nil || err.Error() != "org.apache.commons.cli."+test.err {
				t.Errorf("%s: error %v, want %s", test.line, err, test.err)
			}
			continue
		}
		if err != nil || strings.Join(in.args, " ") != test.args || !reflect.DeepEqual(in.values, test.values) {
			t.Errorf("%s: %+v, %v", test.line, in, err)
		}
	}
}

func TestSplitLine(t *testing.T) {
	for line, want := range map[string][]string{
		"a b  c ":         {"a", "b", "c"},
		`set "a b" 'c"d'`: {"set", "a b", `c"d`},
		`a"b c"`:          {`a"b`, `c"`},
		`"a"b`:            {"a", "b"},
		`x ""`:            {"x", ""},
		`x "open end`:     {"x", "open", "end"},
		"   ":             {" "},
		` "x`:             {` "x`},
		"":                nil,
		`"`:               nil,
	} {
		if got := splitLine(line); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if got := unescape(`a\b\\c\"d\`); got != `ab\c"d` {
		t.Errorf("unescape: %q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add(`create -s -e /x "a b" world:anyone:cdrwa`)
	f.Add(`setquota -n "5" /x`)
	f.Fuzz(func(t *testing.T, line string) {
		words := splitLine(unescape(line))
		for _, cmd := range commands {
			if in, err := cmd.grammar.parse(words); err == nil && len(in.args) > len(words) {
				t.Errorf("%q: %d arguments of %d words", line, len(in.args), len(words))
			}
		}
		(&Shell{IO: IO{Err: &bytes.Buffer{}}}).parseACL(line)
		if q, err := parseQuota("x", []byte(line)); err == nil {
			if again, err := parseQuota("x", []byte(q.String())); err == nil && again.get("count") != q.get("count") {
				t.Errorf("%q: %v became %v", line, q, again)
			}
		}
	})
}

// serve starts a server and returns its address and a client of it.
func serve(t *testing.T) (string, *client.Client) {
	t.Helper()
	s, err := quoll.Start(quoll.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := client.Connect(t.Context(), s.Addr(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s.Addr(), c
}

type result struct {
	out, err string
	code     int
}

func runShell(script string, args ...string) result {
	var out, errs bytes.Buffer
	code := Run(args, IO{In: strings.NewReader(script), Out: &out, Err: &errs, Getenv: func(string) string { return "" }})
	return result{out.String(), errs.String(), code}
}

// zkCli.sh ends with a stack trace where these are errors of one command.
func TestErrorsThatZkCliDoesNotSurvive(t *testing.T) {
	addr, _ := serve(t)
	r := runShell(`create /x 1
delete -v seven /x
set -v seven /x 2
set -b /x !!
setAcl -v seven /x world:anyone:r
addWatch x
redo seven
connect host:port/x/
get /x
`, "-server", addr)
	want := `Created /x
-v argument must be an int value
-v argument must be an int value
-b: "!!" is not base64
-v argument must be an int value
Path must start with / character
Command index out of range
connect string "host:port/x/": chroot: Path must not end with / character
`
	if r.err != want || r.code != 0 || !strings.Contains(r.out, ") 8] 1\n") {
		t.Errorf("%d\n%s\n%s", r.code, r.out, r.err)
	}
	for args, want := range map[string]string{
		"-timeout x ls /":                       "-timeout x: not a number of milliseconds\n",
		"-client-configuration /none/none ls /": "open /none/none: no such file or directory\n",
	} {
		if r := runShell("", append([]string{"-server", addr}, strings.Fields(args)...)...); r.code != exitError || r.err != want {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if r := runShell("", "-server", addr, "-nosuch", "ls", "/"); r.code != exitOK || r.err != "Error: unknown option -nosuch ignored\n" {
		t.Errorf("unknown option: %+v", r)
	}
	if r := runShell("", "-server", addr, "reconfig", "-file", "/none"); r.code != exitError || !strings.HasPrefix(r.err, "Error processing /none: ") {
		t.Errorf("file that is not there: %+v", r)
	}
	if r := runShell("", "-server", "127.0.0.1:1", "-timeout", "50", "-waitforconnection", "ls", "/"); r.code != exitError ||
		r.err != "WARN 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\nKeeperErrorCode = ConnectionLoss\n" {
		t.Errorf("no server: %+v", r)
	}
}

// TestCVE2016_5017 gives the shell a command, an argument and a line of a megabyte each, as an argument and as a line to read: the shell of the C client wrote them past the end of a buffer.
func TestCVE2016_5017(t *testing.T) {
	addr, _ := serve(t)
	long := strings.Repeat("A", 1<<20)
	for _, args := range [][]string{{long}, {"create", "/" + long}, {"cmd:" + long}, {"get", long}} {
		if r := runShell("", append([]string{"-server", addr}, args...)...); r.code == 0 || strings.Contains(r.out+r.err, "panic") {
			t.Errorf("%.20q: %d, %.200q, %.200q", args, r.code, r.out, r.err)
		}
	}
	if r := runShell(long+"\ncreate /"+long+"\ncreate /after\nls /\n", "-server", addr); !strings.Contains(r.out, "[after, zookeeper]") {
		t.Errorf("the shell does not go on: %d, %.200q", r.code, r.out)
	}
}

func TestDeleteAllOfALargeTree(t *testing.T) {
	addr, c := serve(t)
	const depth, width = 300, 3000
	p := ""
	for range depth {
		p += "/d"
		if _, err := c.Create(t.Context(), p, nil, client.OpenACL, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
	}
	errs := make(chan error, width)
	for i := range width {
		req := &jute.CreateRequest{Path: fmt.Appendf(nil, "/d/%s%d", strings.Repeat("w", 400), i), ACL: []jute.ACLText{{Perms: 31, Scheme: []byte("world"), ID: []byte("anyone")}}}
		if err := c.Send(jute.OpCreate, req, func(r client.Reply) { errs <- r.Err }); err != nil {
			t.Fatal(err)
		}
	}
	for range width {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if r := runShell("", "-server", addr, "ls", "-R", "/d"); r.code != 0 || strings.Count(r.out, "\n/d") != depth+width {
		t.Errorf("ls -R: %d, %d lines, %s", r.code, strings.Count(r.out, "\n/d"), r.err)
	}
	if r := runShell("", "-server", addr, "deleteall", "/d", "-b", "50000"); r.code != 0 || r.err != "" {
		t.Errorf("deleteall: %+v", r)
	}
	if n, err := c.AllChildrenNumber(t.Context(), "/"); err != nil || n != 3 {
		t.Errorf("%d znodes are left, %v", n, err)
	}
}

func TestCompletion(t *testing.T) {
	_, c := serve(t)
	for _, p := range []string{"/app", "/app/one", "/app/two", "/apple"} {
		if _, err := c.Create(t.Context(), p, nil, client.OpenACL, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
	}
	s := &Shell{zk: c}
	for line, want := range map[string]string{
		"del":         "|delete deleteall delquota|",
		"get /ap":     "get |/app /apple|",
		"get /app/":   "get |/app/one /app/two|",
		"get /none/x": "get ||",
	} {
		head, completions, tail := s.complete(line, len(line))
		if got := head + "|" + strings.Join(completions, " ") + "|" + tail; got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

func TestConfigureRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"# x\n\na=\\u1":    ":3: a: \\u1 is not \\u and four hexadecimal digits",
		"jute.maxbuffer=0": "jute.maxbuffer=0: not a positive number of bytes",
		"zookeeper.client.secure=true\nzookeeper.ssl.enabledProtocols=SSLv9":                                         `zookeeper.ssl.enabledProtocols: unknown protocol "SSLv9"`,
		"zookeeper.client.secure=true\nzookeeper.ssl.ciphersuites=NONE":                                              `zookeeper.ssl.ciphersuites: none of NONE is there for the enabled protocols`,
		"zookeeper.client.secure=true\nzookeeper.ssl.trustStore.location=/none.pem":                                  "zookeeper.ssl.trustStore.location: open /none.pem: no such file or directory",
		"zookeeper.client.secure=true\nzookeeper.ssl.keyStore.location=/dev/null\nzookeeper.ssl.keyStore.type=BCFKS": `unknown type of store "BCFKS"`,
		"zookeeper.client.secure=true\nzookeeper.ssl.keyStore.location=/dev/null\nzookeeper.ssl.keyStore.type=PEM":   "/dev/null: the type is PEM",
	} {
		file := filepath.Join(t.TempDir(), "client.properties")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s := &Shell{IO: IO{Getenv: func(string) string { return "" }}, settings: settings{configuration: file}}
		if err := s.configure(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
