package jute_test

import (
	"testing"

	"quoll/jute"
)

// BenchmarkDecode is what reading the body of a request costs; nothing is copied.
func BenchmarkDecode(b *testing.B) {
	path, data := []byte("/app/config/limits"), make([]byte, 100)
	everyone := []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	for _, o := range []jute.Operation{
		{Op: jute.OpGetData, Path: path},
		{Op: jute.OpSetData, Path: path, Data: data},
		{Op: jute.OpCreate, Path: path, Data: data, ACL: everyone},
	} {
		b.Run(o.Op.String(), func(b *testing.B) {
			body := o.Append(nil)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				d := jute.NewDecoder(body)
				if o.Decode(&d); d.Err() != nil || d.Len() > 0 {
					b.Fatal(d.Err(), d.Len())
				}
			}
		})
	}
	b.Run("multi", func(b *testing.B) {
		body := tenSets(path, data)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			d := jute.NewDecoder(body)
			if parts := jute.DecodeMulti(&d); len(parts) != 10 {
				b.Fatal(d.Err())
			}
		}
	})
}

// tenSets is a multi of ten setData.
func tenSets(path, data []byte) (body []byte) {
	for range 10 {
		body = (&jute.MultiHeader{Type: int32(jute.OpSetData), Err: -1}).Append(body)
		body = (&jute.SetDataRequest{Path: path, Data: data, Version: -1}).Append(body)
	}
	return jute.MultiEnd.Append(body)
}

// BenchmarkAppend is what writing a record into a buffer that has room costs.
func BenchmarkAppend(b *testing.B) {
	stat, data := jute.Stat{Czxid: 1, Version: 2, DataLength: 100}, make([]byte, 100)
	for _, r := range []struct {
		name   string
		append func([]byte) []byte
	}{
		{"replyHeader", func(b []byte) []byte { return jute.AppendReplyHeader(b, 1, 2, jute.OK) }},
		{"stat", stat.Append},
		{"getData", (&jute.GetDataResponse{Data: data, Stat: stat}).Append},
		{"setDataTxn", (&jute.SetDataTxn{Path: "/app/config/limits", Data: data, Version: 3}).Append},
	} {
		b.Run(r.name, func(b *testing.B) {
			buf := r.append(nil)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = r.append(buf[:0])
			}
		})
	}
}
