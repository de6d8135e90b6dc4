package ensemble

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLeaf: what decides about quorums stands on leaves, and does nothing by itself.
func TestLeaf(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	allowed := map[string]bool{
		"cmp": true, "errors": true, "fmt": true, "net/netip": true, "slices": true, "strconv": true, "strings": true,
		"quoll/config/properties": true, "quoll/jute": true,
	}
	for _, path := range strings.Fields(string(out)) {
		if !allowed[path] {
			t.Errorf("imports %s", path)
		}
	}
}
