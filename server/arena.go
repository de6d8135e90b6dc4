package server

// arena copies bytes into memory that many share: one allocation in place of one for each. What was copied lives as long as the youngest of its neighbours.
type arena struct{ free []byte }

// clone copies b. A new piece of memory has room for so many bytes, or for b alone if that takes much of it.
func (a *arena) clone(b []byte, room int) []byte {
	if len(b) > cap(a.free)-len(a.free) {
		if len(b) > room/4 {
			return append([]byte(nil), b...)
		}
		a.free = make([]byte, 0, room)
	}
	at := len(a.free)
	a.free = append(a.free, b...)
	return a.free[at:len(a.free):len(a.free)]
}
