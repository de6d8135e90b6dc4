package metrics

import (
	"slices"
	"testing"
)

func TestIdleNamesMetrics(t *testing.T) {
	for name, reason := range Idle {
		i := slices.IndexFunc(Table(), func(d Desc) bool { return d.Name == name })
		if i < 0 || Table()[i].Kind == KindGauge || reason == "" {
			t.Errorf("%s is no counter or summary, or has no reason", name)
		}
	}
}
