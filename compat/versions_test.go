package compat

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCompatibilityTable: docs/compatibility.md has the versions of what is fetched, and every place that it names is there.
func TestCompatibilityTable(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("..", name))
		must(t, err)
		return string(text)
	}
	page := read("docs/compatibility.md")
	for _, pin := range []struct{ row, file, version string }{
		{"Apache ZooKeeper, server", "scripts/peers/zookeeper/pom.xml", `<artifactId>zookeeper</artifactId><version>([\d.]+)<`},
		{"Java client", "scripts/peers/zookeeper/pom.xml", `<artifactId>zookeeper</artifactId><version>([\d.]+)<`},
		{"Curator", "scripts/peers/curator/pom.xml", `curator-recipes</artifactId><version>([\d.]+)<`},
		{"Apache Kafka", "scripts/peers/kafka/pom.xml", `kafka_2.13</artifactId><version>([\d.]+)<`},
		{"kazoo", "scripts/peers/kazoo.sh", `kazoo==([\d.]+)`},
		{"C client", "scripts/peers/c-client.sh", `C client ([\d.]+) `},
		{"go-zookeeper/zk", "go.mod", `go-zookeeper/zk v([\d.]+)`},
		{"zookeeper-client (Rust)", "scripts/peers/rust/Cargo.toml", `zookeeper-client = "=([\d.]+)"`},
	} {
		match := regexp.MustCompile(pin.version).FindStringSubmatch(read(pin.file))
		if match == nil {
			t.Errorf("%s has no %s", pin.file, pin.version)
		} else if !regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(pin.row) + `[^|]*\| ` + regexp.QuoteMeta(match[1]) + ` \|`).MatchString(page) {
			t.Errorf("the page does not have %s %s", pin.row, match[1])
		}
	}
	old := regexp.MustCompile(`(?m)for version in (.*);`).FindStringSubmatch(read("scripts/peers/zookeeper-old.sh"))
	if old == nil || !strings.Contains(page, strings.Join(strings.Fields(old[1]), ", ")) {
		t.Errorf("the page does not have the old servers %q", old)
	}
	for _, place := range regexp.MustCompile("`(compat/[^`]*)`").FindAllStringSubmatch(page, -1) {
		if _, err := os.Stat(filepath.Join("..", place[1])); err != nil {
			t.Error(err)
		}
	}
}
