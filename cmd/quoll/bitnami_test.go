package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quoll/config"
)

// TestBitnami compares zoo.cfg with what the functions of Bitnami's libzookeeper.sh (repository bitnami/containers, ZooKeeper 3.9) made of the same variables, in
// testdata/bitnami.txt: a line of variables, then the sorted settings. A server starts with each of them.
func TestBitnami(t *testing.T) {
	text, err := os.ReadFile("testdata/bitnami.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range strings.Split(string(text), "-- ")[1:] {
		line, want, _ := strings.Cut(c, "\n")
		b, err := newBitnami(variables(line), os.ReadFile)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		have := strings.SplitAfter(strings.TrimSuffix(string(b.cfg()), "\n"), "\n")
		have[len(have)-1] += "\n"
		slices.Sort(have)
		if strings.Join(have, "") != want {
			t.Errorf("%s: Bitnami's image has\n%s\nthis\n%s", line, want, strings.Join(have, ""))
		}
		if strings.Contains(line, "_TLS_") {
			continue // there are no stores
		}
		dir := t.TempDir()
		cfg := strings.ReplaceAll(string(b.cfg()), "/bitnami", dir)
		jaas := filepath.Join(dir, "jaas")
		data := filepath.Join(dir, "zookeeper/data")
		if err := errors.Join(os.MkdirAll(data, 0o755), os.WriteFile(filepath.Join(data, "myid"), []byte("1\n"), 0o644),
			os.WriteFile(filepath.Join(dir, "zoo.cfg"), []byte(cfg), 0o644), os.WriteFile(jaas, b.jaas, 0o600)); err != nil {
			t.Fatal(err)
		}
		flags := "-Dzookeeper.fips-mode=" + strconv.FormatBool(b.yes("ZOO_FIPS_MODE"))
		if b.jaas != nil {
			flags += " -Djava.security.auth.login.config=" + jaas
		}
		env := func(name string) string { return map[string]string{"JVMFLAGS": flags}[name] }
		if _, _, err := config.Load(config.Sources{File: filepath.Join(dir, "zoo.cfg"), Env: env}); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// variables are those of a line, whose values may stand between apostrophes.
func variables(line string) (pairs []string) {
	for line != "" {
		name, rest, _ := strings.Cut(line, "=")
		end := " "
		if strings.HasPrefix(rest, "'") {
			rest, end = rest[1:], "'"
		}
		value, after, _ := strings.Cut(rest, end)
		pairs = append(pairs, name+"="+value)
		line = strings.TrimPrefix(after, " ")
	}
	return pairs
}

func TestBitnamiJAAS(t *testing.T) {
	b, err := newBitnami(variables("ZOO_ENABLE_AUTH=yes ZOO_FIPS_MODE=no ZOO_SERVER_USERS='bob,carol' ZOO_SERVER_PASSWORDS_FILE=passwords ZOO_CLIENT_USER=bob ZOO_CLIENT_PASSWORD=one"),
		func(name string) ([]byte, error) {
			return map[string][]byte{"passwords": []byte("one,two\n")}[name], nil
		})
	const want = `Client {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    username="bob"
    password="one";
};
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_bob="one"
    user_carol="two";
};
`
	if err != nil || string(b.jaas) != want {
		t.Errorf("%v: %s", err, b.jaas)
	}
}

// TestBitnamiRefuses has what the image refuses as well, and what would otherwise be lost silently. No message has a secret.
func TestBitnamiRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"": "ALLOW_ANONYMOUS_LOGIN",
		"ZOO_ENABLE_AUTH=yes ZOO_SERVER_USERS=a ZOO_SERVER_PASSWORDS=secret":                                       "ZOO_FIPS_MODE=no",
		"ZOO_ENABLE_AUTH=yes ZOO_FIPS_MODE=no":                                                                     "ZOO_SERVER_USERS",
		"ZOO_ENABLE_AUTH=yes ZOO_FIPS_MODE=no ZOO_SERVER_USERS=a,b ZOO_SERVER_PASSWORDS=secret":                    "2 names",
		"ZOO_ENABLE_AUTH=yes ZOO_FIPS_MODE=no ZOO_SERVER_USERS=a ZOO_SERVER_PASSWORDS=secret\"":                    "section Server",
		"ALLOW_ANONYMOUS_LOGIN=yes ZOO_ENABLE_QUORUM_AUTH=yes ZOO_FIPS_MODE=no ZOO_QUORUM_LEARNER_PASSWORD=secret": "needs ZOO_QUORUM_SERVER_USERS",
		"ALLOW_ANONYMOUS_LOGIN=yes ZOO_SERVERS=a:2888":                                                             "a:2888 is not",
		"ALLOW_ANONYMOUS_LOGIN=yes ZOO_SERVERS=a:2888:3888::1,b:2888:3888":                                         "b:2888:3888 is not",
		"ALLOW_ANONYMOUS_LOGIN=yes ZOO_TLS_CLIENT_ENABLE=yes ZOO_TLS_CLIENT_KEYSTORE_PASSWORD=secret":              "ZOO_TLS_CLIENT_ENABLE needs",
		"ALLOW_ANONYMOUS_LOGIN=yes ZOO_TLS_QUORUM_CLIENT_AUTH=maybe":                                               "none, want or need",
		"ALLOW_ANONYMOUS_LOGIN=yes ZOO_RECONFIG_ENABLED=perhaps":                                                   "yes or no",
		"ALLOW_ANONYMOUS_LOGIN=yes ZOO_SERVER_PASSWORDS_FILE=none":                                                 "ZOO_SERVER_PASSWORDS_FILE",
		"ALLOW_ANONYMOUS_LOGIN=yes ZOO_TICK_TIME='2000\nsecret=1'":                                                 "ZOO_TICK_TIME",
		"ALLOW_ANONYMOUS_LOGIN=yes ZOO_CFG_tickTime='2000\nsecret=1'":                                              "ZOO_CFG_tickTime",
	} {
		_, err := newBitnami(variables(line), func(string) ([]byte, error) { return nil, os.ErrNotExist })
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", line, err)
		}
	}
	b, err := newBitnami(variables("ALLOW_EMPTY_PASSWORD=yes ZOO_HEAP_SIZE=512 ZOO_LOG_LEVEL=WARN"), os.ReadFile)
	if err != nil || !slices.Equal(b.remarks, []string{"ZOO_HEAP_SIZE has no effect"}) || !strings.Contains(string(b.cfg()), "\nlog.level=warn\n") {
		t.Errorf("%v: %q", err, b.remarks)
	}
}
