package session

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

// L08: a forced end counts exactly the bodies that it cut off: one that has
// arrived whole can still be read, decoded or not, and is none of them.
func TestForcedEndCountsWhatItCutOff(t *testing.T) {
	small := make([]byte, 500)
	rand.Read(small)
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	zw.Write(small) //nolint:errcheck // memory
	zw.Close()
	bothProtocols(t, func(t *testing.T, h2 bool) {
		s, srv := newReal(t, h2, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/whole":
				w.Header().Set("Content-Length", "500")
				w.Write(small) //nolint:errcheck // the client sees it
			case "/zipped":
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(zipped.Bytes()) //nolint:errcheck // likewise
			default:
				w.Write(small[:100]) //nolint:errcheck // likewise
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
		}))
		get := func(path string) *http.Response {
			resp, err := s.Get(t.Context(), srv.URL+path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			return resp
		}
		whole, part, half := get("/whole"), get("/zipped"), get("/half")
		if _, err := io.ReadFull(part.Body, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // the last bytes are on their way
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var ce *CloseError
		if err := s.Shutdown(ctx); !errors.As(err, &ce) || ce.Aborted != 1 {
			t.Errorf("Shutdown: %v", err)
		}
		if b, err := io.ReadAll(whole.Body); err != nil || !bytes.Equal(b, small) {
			t.Errorf("whole: %d bytes, %v", len(b), err)
		}
		if b, err := io.ReadAll(part.Body); err != nil || !bytes.Equal(b, small[10:]) {
			t.Errorf("read in part: %d bytes, %v", len(b), err)
		}
		if _, err := io.ReadAll(half.Body); !errors.Is(err, ErrSessionClosed) {
			t.Errorf("half: %v", err)
		}
		if st := s.Stats(); st.OK != 2 || st.Aborted != 1 {
			t.Errorf("stats %+v", st)
		}
		wantConserved(t, s)
	})
}
