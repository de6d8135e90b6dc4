//go:build !linux

package alarm

func precise(func()) *Alarm { return nil }
