package probe

// deviations is what quoll does otherwise than Apache ZooKeeper 3.9.5 at the places where a probe looks, and why. Everything else must be the same.
var deviations = map[string]string{
	"epoch of a wrong packet":      "Java writes acceptedEpoch before it sees that the packet is none of those that carry an epoch; quoll looks first",
	"leaders before 3.4":           "section 10: ZAB before 1.0 is left out",
	"interrupted TRUNC":            "9.2-1: Java claims what is not on its disk",
	"a SYNC that nobody asked for": "?",
	"gap in broadcast":             "?",
	"the process ends":             "bytes of a peer only ever close the link",
}

// differs reports whether the server does what the table says of quoll.
func (w *world) differs(name string) bool {
	w.Helper()
	if _, ok := deviations[name]; !ok {
		w.Fatalf("%q is not in the table of deviations", name)
	}
	return w.kind == "quoll"
}
