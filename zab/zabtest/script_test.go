package zabtest

import (
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestStories plays the scripts in testdata; with -rewrite it writes down what happens.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s Script
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "play" {
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			return s.Play(d.Input)
		})
	})
}
