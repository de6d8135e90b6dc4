package quorum

import (
	"testing"

	"quoll/ensemble"
	"quoll/sasl"
)

// TestCVE2023_44981 is which Kerberos principals may be servers: those of the hosts of members, and nobody else, one without a host least of all.
func TestCVE2023_44981(t *testing.T) {
	server := func(id int64, host string) ensemble.Server {
		return ensemble.Server{ID: id, Quorum: []ensemble.Addr{{Host: host, Port: 2888}}, Election: []ensemble.Addr{{Host: host, Port: 3888}}}
	}
	now := &members{
		committed: &ensemble.Config{Servers: []ensemble.Server{server(1, "a.example"), server(2, "B.example")}},
		lastSeen:  &ensemble.Config{Servers: []ensemble.Server{server(1, "a.example"), server(3, "c.example")}},
	}
	a := &authentication{realm: "R", members: func() *members { return now }}
	for user, ok := range map[string]bool{
		"zkquorum/a.example@R": true, "learner/a.example@R": true, "zkquorum/B.example@R": true, "zkquorum/c.example@R": true,
		"zkquorum/b.example@R": false, "zkquorum/d.example@R": false, "a.example@R": false, "zkquorum/a.example": false, "zkquorum@a.example": false, "zkquorum/@R": false, "": false,
		"zkquorum/a.example/x@R": false, "zkquorum/x@a.example@R": false, "zkquorum/a.example@OTHER": false, "zkquorum/a.example@r": false, "zkquorum/a.example@": false,
	} {
		if err := a.authorize(sasl.GSSAPI, user); (err == nil) != ok {
			t.Errorf("%q: %v", user, err)
		}
	}
	if err := a.authorize(sasl.DigestMD5, "bob"); err != nil {
		t.Error(err) // the password was all that is asked for
	}
	a.config.Principal = "zkquorum/_HOST"
	for sid, want := range map[int64]string{1: "zkquorum/a.example", 2: "zkquorum/b.example", 3: "zkquorum/c.example", 4: "zkquorum/_HOST"} {
		if got := a.principal(sid); got != want {
			t.Errorf("server %d: %s, want %s", sid, got, want)
		}
	}
	a.config.Principal = "zkquorum/localhost"
	if got := a.principal(1); got != "zkquorum/localhost" {
		t.Error(got)
	}
}
