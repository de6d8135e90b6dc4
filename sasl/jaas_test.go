package sasl

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func properties(name string) (string, bool) {
	value, ok := map[string]string{"zk.dir": "/etc/zk", "empty": ""}[name]
	return value, ok
}

// show is a file in one line.
func show(f *File) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.sections)) {
		fmt.Fprintf(&b, "%s{", name)
		for _, m := range f.sections[name] {
			fmt.Fprintf(&b, "%d:%s %q;", m.Line, m.Class, m.Options)
		}
		b.WriteString("}")
	}
	return b.String()
}

func TestJAASFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"/* nothing */ // at all", ""},
		{`Server { a.b.C required user_bob="pw"; };`, `Server{1:a.b.C map["user_bob":"pw"];}`},
		{"Server\n{\n a.b.C\n REQUIRED\n user_bob=\"pw\"\n user_al=pw2 ; d.E optional; };\nClient { f.G sufficient; };", `Client{7:f.G map[];}Server{3:a.b.C map["user_al":"pw2" "user_bob":"pw"];6:d.E map[];}`},
		{`Server { a required x="a\"b\\c\tq\101\4777é" y=""; };`, `Server{1:a map["x":"a\"b\\c\tqA'77é" "y":""];}`},
		{"Server { a required x=\"open\n y=z; };", `Server{1:a map["x":"open" "y":"z"];}`},
		{"Server { a required x=b /comment to the end\n; };", `Server{1:a map["x":"b"];}`},
		{"Server { a required x=b /* over\nlines */ y=c; b required; };", `Server{1:a map["x":"b" "y":"c"];2:b map[];}`},
		{`Server { a required keyTab="${zk.dir}${/}k.tab" x="${{zk.dir}}" y="${open" z="a$b"; };`, `Server{1:a map["keyTab":"/etc/zk/k.tab" "x":"${{zk.dir}}" "y":"${open" "z":"a$b"];}`},
		{`Server { a required $x_y-z*=b-c.d1; };`, `Server{1:a map["$x_y-z*":"b-c.d1"];}`},
		{`Empty { };`, `Empty{}`},
		{"A{\r\nb required;\r\n}\r\n;\rB { c required; };", `A{2:b map[];}B{5:c map[];}`},
		{`"Server" { "a.B" "required" "user_bob"="pw"; };`, `Server{1:a.B map["user_bob":"pw"];}`},
	} {
		f, err := ParseFile("jaas.conf", c.text, properties)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		} else if got := show(f); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestJAASFileErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"\nServer", `jaas.conf:2: expected '{', found the end of the file`},
		{"Server { a }", `jaas.conf:1: expected required, requisite, sufficient or optional, found '}'`},
		{"Server {\n a sometimes; };", `jaas.conf:2: behind the class of a login module there is none of required, requisite, sufficient, optional`},
		{"Server {\n a required\n\n x; };", `jaas.conf:4: expected '=', found ';'`},
		{"Server { a required x=12; };", `jaas.conf:1: expected the value of an option, in double quotes if it has other characters than letters, found a number without quotes`},
		{"Server { a required x='b'; };", `jaas.conf:1: expected the value of an option, in double quotes if it has other characters than letters, found '\''`},
		{"Server { a required x=b, y=c; };", `jaas.conf:1: expected an option or ;, found ','`},
		{"Server { a required; }", `jaas.conf:1: expected ';', found the end of the file`},
		{"Server { a required; }\n/* open ", `jaas.conf:2: expected ';', found the end of the file`},
		{"A { };\nA { };\nB { };", `jaas.conf:3: section A is there twice`},
		{"Server { a required\nkeyTab=\"${zk.home}/k\"\n; };", `jaas.conf:2: the value of an option: it has a ${name} of which there is no property`},
		{`Server { a required x="${empty}"; };`, `jaas.conf:1: the value of an option: nothing is left of it`},
		{"{ };", `jaas.conf:1: expected the name of a section, found '{'`},
	} {
		_, err := ParseFile("jaas.conf", c.text, properties)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "j a.conf")
	if err := os.WriteFile(path, []byte("Server { a required; };"), 0o600); err != nil {
		t.Fatal(err)
	}
	lookup := func(name string) (string, bool) { return dir, name == "dir" }
	for _, value := range []string{path, "=" + path, "${dir}/j a.conf", "file:" + strings.ReplaceAll(path, " ", "%20"), "file://" + strings.ReplaceAll(path, " ", "%20")} {
		if f, err := ReadFile(value, lookup); err != nil || len(f.Section("Server")) != 1 {
			t.Errorf("%s: %v", value, err)
		}
	}
	for value, want := range map[string]string{
		path + "x": path + "x: no such file", "${home}/j": "${home}/j: it has a ${name} of which there is no property", "http://h/j": "only files are read", "file://h/j": "not the URL of a file",
	} {
		if _, err := ReadFile(value, lookup); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestLogin(t *testing.T) {
	const text = `
Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_super="adminsecret" user_bob="bobsecret"; org.apache.zookeeper.server.auth.DigestLoginModule required user_al="x"; };
Client { org.apache.zookeeper.server.auth.DigestLoginModule required username="bob" password="bobsecret"; };
Empty { };
Other {
	org.example.LoginModule required;
};`
	f, err := ParseFile("jaas.conf", text, properties)
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range []string{"Empty", "Missing"} {
		if l, err := f.Login(section, nil); l != nil || err != nil {
			t.Errorf("%s: %v, %v", section, l, err)
		}
	}
	if _, err := f.Login("Other", nil); err == nil || !strings.HasPrefix(err.Error(), "jaas.conf:6: section Other: the login module org.example.LoginModule is not known") {
		t.Error(err)
	}
	server, err := f.Login("Server", nil)
	if err != nil || server.Mechanism() != DigestMD5 {
		t.Fatal(server, err)
	}
	server.Replace("super", "other")
	server.Replace("nobody", "x")
	if want := map[string]string{"super": "other", "bob": "bobsecret", "al": "x"}; !maps.Equal(server.users, want) {
		t.Errorf("users %v", server.users)
	}
	if _, err := server.Client("p", "s", ""); err == nil {
		t.Error("a section without a username begins an exchange")
	}
	client, err := f.Login("Client", nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Client("zookeeper", "zk-sasl-md5", "")
	if err != nil {
		t.Fatal(err)
	}
	s := server.Server("zookeeper", "zk-sasl-md5")
	if err := play(c, s); err != nil || s.Peer() != "bob" || c.Peer() != "zk-sasl-md5" {
		t.Errorf("%v: %q, %q", err, s.Peer(), c.Peer())
	}
}

// play lets two sides talk until both are done.
func play(client, server Exchange) error {
	token, err := client.Step(nil)
	for err == nil && !(client.Done() && server.Done()) {
		if token, err = server.Step(token); err == nil && token != nil && !client.Done() {
			token, err = client.Step(token)
		}
	}
	return err
}

func FuzzJAASFile(f *testing.F) {
	for _, text := range []string{`Server { a.b.C required user_bob="pw"; };`, "A{b optional x=\"\\101${/}\" /* c */ y=z;\n// d\n};", "A { b required x=1; };", "/*", `"a`, "a { b required c=\"\\"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := ParseFile("f", text, properties)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("no place in %v", err)
			}
			return
		}
		for name := range file.sections {
			_, _ = file.Login(name, nil)
		}
	})
}
