//go:build !unix

package main

import (
	"errors"
	"syscall"
)

func background() *syscall.SysProcAttr { return nil }

func become(string, []string) error { return errors.ErrUnsupported }

func replace(string, []string, []string) error { return errors.ErrUnsupported }
