package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSplitShell(t *testing.T) {
	for _, test := range []struct {
		in     string
		want   []string
		closed bool
	}{
		{"", nil, true},
		{"  -Xmx1g\t-Da=b\n-Dc ", []string{"-Xmx1g", "-Da=b", "-Dc"}, true},
		{`-Da="b c" -Dd='e "f"'`, []string{"-Da=b c", `-Dd=e "f"`}, true},
		{`"-Da=b c"d ""`, []string{"-Da=b cd", ""}, true},
		{`-Da=b\ c "x\"y\z" 'p\q'`, []string{"-Da=b c", `x"y\z`, `p\q`}, true},
		{`-Da="b c`, []string{"-Da=b c"}, false},
		{`a\`, []string{`a\`}, true},
	} {
		got, closed := splitShell(test.in)
		if !slices.Equal(got, test.want) || closed != test.closed {
			t.Errorf("%q: %q %v, want %q %v", test.in, got, closed, test.want, test.closed)
		}
	}
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{
		"JVMFLAGS":                       "-Djute.maxbuffer=5 -XX:+UseG1GC -Dflag -Dz=a=b",
		"SERVER_JVMFLAGS":                "-Xmx1g -Djute.maxbuffer=4 -javaagent:/x.jar=1 -D plain",
		"ZOO_DATADIR_AUTOCREATE_DISABLE": "1",
		"JMXPORT":                        "9999",
	}
	properties, warnings := FromEnv(func(k string) string { return env[k] })
	var got []string
	for _, p := range properties {
		got = append(got, fmt.Sprintf("%s: %s=%s", p.Origin, p.Name, p.Value))
	}
	for _, w := range warnings {
		got = append(got, w.String())
	}
	want := []string{
		"ZOO_DATADIR_AUTOCREATE_DISABLE: zookeeper.datadir.autocreate=false",
		"SERVER_JVMFLAGS: jute.maxbuffer=4",
		"JVMFLAGS: jute.maxbuffer=5",
		"JVMFLAGS: flag=",
		"JVMFLAGS: z=a=b",
		"JVMFLAGS: JVM options have no effect: -Xmx1g -javaagent:/x.jar=1 -D plain -XX:+UseG1GC",
		"JMXPORT: there is no JMX",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
