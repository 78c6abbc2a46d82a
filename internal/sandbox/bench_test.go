package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"segsync/internal/sandbox"
)

// nobody is a ResponseWriter that costs nothing.
type nobody struct{ header http.Header }

func (n nobody) Header() http.Header         { return n.header }
func (n nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n nobody) WriteHeader(int)             {}

func BenchmarkHandler(b *testing.B) {
	s := sandbox.New(sandbox.Options{Profiles: 200_000, Plain: true})
	id := s.Want()[150_000].SegmentID
	for name, path := range map[string]string{
		"list":         profiles + "?limit=100&next=1000",
		"traits":       profiles + "/segment_id:" + id + "/traits?include=name,email,address,phone,birthdate&limit=200",
		"external_ids": profiles + "/segment_id:" + id + "/external_ids?include=user_id&limit=25",
	} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest("GET", path, nil)
			r.SetBasicAuth("sandbox-access-token", "")
			b.ReportAllocs()
			for b.Loop() {
				s.ServeHTTP(nobody{http.Header{}}, r)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		sandbox.New(sandbox.Options{Profiles: 200_000, Order: sandbox.Shuffled})
	}
}
