package replica

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPace: a load that takes long has a line now and then, a short one has none.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		now := time.Now()
		p := &pace{log: slog.New(slog.NewTextHandler(&out, nil)), begin: now, said: now}
		looks := 0
		for range 3*lookEvery + 1 {
			if p.take(1) {
				looks++
				p.say("log.1", "zxid", "0x1")
				time.Sleep(sayEvery * 2 / 3)
			}
		}
		if looks != 3 || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%d looks and\n%s", looks, &out)
		}
		if want := `msg="still loading the data directory" from=log.1 "znodes and transactions"=12288 for=13s zxid=0x1`; !strings.Contains(out.String(), want) {
			t.Errorf("%s has no %s", &out, want)
		}
	})
}
