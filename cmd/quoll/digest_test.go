package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestDigest has what ZooKeeper makes of the same users (DigestAuthenticationProvider.main).
func TestDigest(t *testing.T) {
	for _, tt := range []struct {
		args, in, want string
		code           int
	}{
		{"digest", "super:test\n", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n", 0},
		{"digest", "super:test", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n", 0},
		{"digest super:test", "", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n", 0},
		{"digest --alg SHA-256 super:test", "", "super:wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig=\n", 0},
		{"digest --alg SHA0 super:test", "", "", exitInvocation},
		{"digest super", "", "", exitInvocation},
		{"digest a:b c:d", "", "", exitInvocation},
	} {
		var out bytes.Buffer
		err := run(strings.Fields("quoll "+tt.args), strings.NewReader(tt.in), &out)
		var f failure
		if errors.As(err, &f); f.code != tt.code || out.String() != tt.want {
			t.Errorf("%s: %q, exit code %d: %v", tt.args, &out, f.code, err)
		}
		if err != nil && strings.Contains(err.Error(), "test") {
			t.Errorf("the password is in %q", err)
		}
	}
}
