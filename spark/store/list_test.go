package store_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/spark/store"
)

// pages is an S3 server that says it has n objects, of names as long as can be, and makes up
// each page of its list when it is asked for it.
func pages(t *testing.T, n int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _ := strconv.Atoi(r.URL.Query().Get("continuation-token"))
		most, err := strconv.Atoi(r.URL.Query().Get("max-keys"))
		if err != nil || r.URL.Query().Get("list-type") != "2" {
			http.Error(w, "want a page of a list", http.StatusBadRequest)
			return
		}
		end := min(n, first+most)
		fmt.Fprintf(w, `<ListBucketResult><Name>photos</Name><KeyCount>%d</KeyCount><MaxKeys>%d</MaxKeys>`, end-first, most)
		if end < n {
			fmt.Fprintf(w, `<IsTruncated>true</IsTruncated><NextContinuationToken>%d</NextContinuationToken>`, end)
		}
		for i := first; i < end; i++ {
			fmt.Fprintf(w, `<Contents><Key>%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"0"</ETag><Size>1</Size></Contents>`, longName(i))
		}
		fmt.Fprint(w, `</ListBucketResult>`)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return server
}

// longName is a key of 1024 bytes, which are the most.
func longName(i int) string { return strings.Repeat("k", 1014) + fmt.Sprintf("%06d.jpg", i) }

// However large a bucket is, its list takes the memory of a page: 100,000 names of a kilobyte
// are 100 MB.
func TestListMemory(t *testing.T) {
	const most = 32 << 20
	objects := 100_000
	if testing.Short() {
		objects = 50_000
	}
	server := pages(t, objects)
	s := store.New(store.Options{S3: query(server.URL)})
	defer s.Close()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, peak, n := m.HeapAlloc, uint64(0), 0
	err := s.List(t.Context(), "s3://photos/", func(name string) error {
		if n%500 == 0 {
			if want := "s3://photos/" + longName(n); name != want {
				t.Fatalf("object %d: got ...%s", n, name[max(0, len(name)-20):])
			}
			if runtime.ReadMemStats(&m); m.HeapAlloc > before+most { // garbage, perhaps: how much there is of it is the collector's choice
				runtime.GC()
				runtime.ReadMemStats(&m)
			}
			peak = max(peak, m.HeapAlloc)
		}
		n++
		return nil
	})
	if err != nil || n != objects {
		t.Fatalf("%d objects, %v", n, err)
	}
	t.Logf("heap: %.1f MB before, %.1f MB at its peak", float64(before)/(1<<20), float64(peak)/(1<<20))
	if peak > before+most {
		t.Errorf("the heap grew by %d MB, want %d at most", (peak-before)>>20, most>>20)
	}
}
