//go:build unix

package main

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// background is of a process that lives on when this one ends, and the terminal with it.
func background() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// become gives some directories and what is in them to a user, and this process's rights up for those of that user, whose name HOME follows.
func become(name string, dirs []string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, gid)
		})
		if err != nil {
			return err
		}
	}
	for _, step := range []error{syscall.Setgroups([]int{gid}), syscall.Setgid(gid), syscall.Setuid(uid)} {
		if step != nil {
			return step
		}
	}
	return os.Setenv("HOME", u.HomeDir)
}

// replace makes this process the program at path.
func replace(path string, args, env []string) error { return syscall.Exec(path, args, env) }
