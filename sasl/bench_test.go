package sasl

import (
	"testing"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
)

// BenchmarkDigestServer is the server's part of an authentication, without the client's.
func BenchmarkDigestServer(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s := newDigestServer("zookeeper", "zk-sasl-md5", passwords)
		challenge, _ := s.Step(nil)
		b.StopTimer()
		response, err := newDigestClient("zookeeper", "zk-sasl-md5", "bob", "bobsecret").Step(challenge)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := s.Step(response); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGSSAPI is both parts of an authentication, once there is a ticket.
func BenchmarkGSSAPI(b *testing.B) {
	const kind = etypeID.AES256_CTS_HMAC_SHA1_96
	w := newWorld(b, kind)
	login := w.server(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		c := w.now(b, "bob", kind)
		b.StartTimer()
		if err := play(c, login.Server("", "")); err != nil {
			b.Fatal(err)
		}
	}
}
