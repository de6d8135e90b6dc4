package txnlog_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quoll/txnlog"
)

// On the disk of this machine: room is taken ahead of the records and given back, and the reserve is room.
func TestRoomOnDisk(t *testing.T) {
	home := t.TempDir()
	_, dir, err := txnlog.PrepareDirs(txnlog.OS, home, "", true)
	if err != nil {
		t.Fatal(err)
	}
	room := func(name string) (size, taken int64) {
		t.Helper()
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size(), info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, PreAlloc: 64 << 20, ForceSync: true})
	log.Append(1, remove(1, "/a"))
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "log.1")
	size, taken := room(file)
	if size != 64<<20+16 || taken > 5<<20 {
		t.Errorf("%d bytes, of which %d are taken", size, taken)
	}
	if taken < 4<<20 {
		t.Logf("this file system reserves nothing: %d bytes are taken", taken)
	}
	for z := int64(2); z < 200; z++ {
		log.Append(z, remove(z, strings.Repeat("x", 50_000)))
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if w, ok, err := txnlog.ReadWatermark(txnlog.OS, dir); err != nil || !ok || w.Zxid != 199 {
		t.Errorf("the watermark is %v, %v, %v", &w, ok, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if size, taken = room(file); size != 16+51+198*50_049 || taken > size+64<<10 {
		t.Errorf("after Close %d bytes, of which %d are taken", size, taken)
	}
	res, err := txnlog.ReplayLogs(txnlog.OS, dir, 0, true, 0, func(txnlog.Record) error { return nil })
	if err != nil || res.LastZxid != 199 || res.Tail != nil {
		t.Fatalf("read %+v, %v", res, err)
	}
	if err := res.Settle(txnlog.OS); err != nil {
		t.Fatal(err)
	}
	r := txnlog.NewReserve(txnlog.OS, dir, 1<<20)
	if err := r.Make(1 << 20); err != nil {
		t.Fatal(err)
	}
	if _, taken = room(r.Path()); taken < 1<<20 {
		t.Errorf("the reserve takes %d bytes", taken)
	}
	if err := r.Release(); err != nil {
		t.Error(err)
	}
}
