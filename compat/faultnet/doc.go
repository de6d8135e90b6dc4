// Package faultnet is a network of a few hosts whose packets get lost, come late or are too many, for processes that know nothing of it.
//
// Each host is a network namespace of Linux with a TUN device and an address in 10.83.0.0/24, and a switch in this process passes the
// packets from one device to another. So the kernel's own TCP lives with what the switch does: it retransmits, backs off, and holds
// connections whose other end is long gone.
//
//	n, err := faultnet.New(3, seed) // or faultnet.For(t, 3), which skips the test aloud where there can be none
//	one, two := n.Hosts[0], n.Hosts[1]
//	err = one.Do(cmd.Start)       // what is started or opened meanwhile is on that host, for all its life
//	conn, err := two.Dial(ctx, net.JoinHostPort(one.Addr(), "2181"))
//	n.Set(one, two, faultnet.Link{Loss: 0.3, Delay: 100 * time.Millisecond}) // and the other direction stays as it is
//	n.Heal()
//
// Namespaces and devices have no names outside and belong to this process and those on the hosts: when they are gone, however they
// ended, nothing is left.
package faultnet
