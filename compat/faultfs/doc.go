// Package faultfs is a file system that fails on command. It is kept in memory, mounted through FUSE under any program that knows
// nothing of it, and steered by the process that mounted it:
//
//	disk := faultfs.New(faultfs.Options{Seed: 1})
//	disk.Inject(faultfs.Rule{Op: faultfs.Fsync, Glob: "version-2/log.*", Nth: 17, Fault: faultfs.FsyncDrop})
//	mount, err := disk.Mount(dir)
//	... start a server on dir, have it work ...
//	mount.Unmount()
//	after := disk.PowerCut(2) // what a machine finds that lost its power now; mount it or save it and start the server again
//
// The disk plays the page cache itself, and the kernel keeps none of it. For each file there is the content that programs see and the
// content that is durable, which is that of the last fsync, fdatasync or O_SYNC write. For each directory there are its entries and
// the operations on them that are not durable yet. A power cut keeps what is durable and a random part of the rest: of content each
// sector or page is kept, dropped or torn, and each directory operation happens or does not, a rename never by halves.
//
// When a directory operation becomes durable is a choice, [Options.Journal]: with the next fsync of its directory only, which is all
// that POSIX promises, or with any fsync, in order, as a journalling file system does it.
package faultfs
