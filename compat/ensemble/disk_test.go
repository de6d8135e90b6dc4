package ensemble

import (
	"os"
	"path/filepath"
	"testing"

	"quoll/compat/faultfs"
)

// TestDiskOfTheLeader lets the disk of a leader that is quoll fill up, or fail, under load: another one leads, nothing that was acknowledged is lost, and the member comes back
// by itself when its disk works again.
func TestDiskOfTheLeader(t *testing.T) {
	faultfs.Check(t)
	for _, kinds := range assignments(t, []string{"3.9.5,quoll,quoll"}, []string{"3.9.5,3.9.5,quoll", "quoll,quoll,quoll"}) {
		for name, fault := range map[string]func(*faultfs.Disk){
			"full": func(d *faultfs.Disk) { d.SetSpace(d.Used() + 64<<10) },
			"fails": func(d *faultfs.Disk) {
				d.Inject(faultfs.Rule{Op: faultfs.Fsync, Glob: "log.*", Count: -1, Fault: faultfs.FsyncDrop})
			},
		} {
			t.Run(nameOf(kinds)+" "+name, func(t *testing.T) {
				t.Parallel()
				disk := faultfs.New(faultfs.Options{Journal: true})
				mount := faultfs.MountFor(t, disk)
				// The log fills what was allocated of it only slowly; without that it needs room at once.
				e := build(t, Options{Kinds: kinds, Config: []string{"preAllocSize=16"}}, "the disk fails; this server leaves its ensemble", "the data directory cannot be loaded; trying again")
				leader := e.Member(3) // of servers that have nothing
				check(t, os.RemoveAll(leader.Dir()))
				check(t, os.Symlink(mount.Dir, leader.Dir()))
				check(t, os.WriteFile(filepath.Join(mount.Dir, "myid"), []byte("3"), 0o644))
				check(t, e.Start())
				if first := serving(t, e); first != leader {
					t.Fatalf("%v leads", first)
				}
				ctx, cancel := patient()
				defer cancel()
				makeRoot(t, ctx, e, "/load")
				load := e.StartLoad("/load", 4)
				_, err := load.Await(200)
				check(t, err)
				fault(disk)
				check(t, e.await(func() bool { return leader.Mode() != "leader" }))
				_, err = load.Await(200) // by the others
				check(t, err)
				disk.Heal()
				disk.SetSpace(0)
				serving(t, e)
				_, err = load.Await(200)
				check(t, err)
				result, err := load.Stop()
				check(t, err)
				check(t, load.Present(e))
				_, err = e.Agree()
				check(t, err)
				t.Logf("%d writes acknowledged, the longest pause of all writers was %v", result.Acked, result.Pause)
			})
		}
	}
}
