package session

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// L08: a body received in full does not keep Close, and outlives it.
func TestReceivedBodyOutlivesClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Options{}, func(*http.Request) fakeAnswer {
			return fakeAnswer{body: "all here", flow: time.Second}
		})
		resp, err := s.Get(t.Context(), "https://a.test/")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		start := time.Now()
		if err := s.CloseNow(); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) != 0 {
			t.Error("Close waited for a body that had arrived")
		}
		b, err := io.ReadAll(resp.Body)
		if string(b) != "all here" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		resp.Body.Close()
		if st := s.Stats(); st.OK != 1 || st.Aborted != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// L25, L26: an upgraded connection is in flight, and dropped at the bound.
func TestUpgradedConnectionIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		s, _ := newFake(t, Options{}, func(*http.Request) fakeAnswer { return fakeAnswer{status: 101, conn: &out, unread: true} })
		req := newReq(t, "GET", "https://a.test/ws", nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		resp, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		rw, ok := resp.Body.(io.ReadWriteCloser)
		if !ok {
			t.Fatalf("body of the 101 is a %T", resp.Body)
		}
		if _, err := rw.Write([]byte("hi")); err != nil || out.String() != "hi" {
			t.Errorf("wrote %q, %v", out.String(), err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := rw.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var ce *CloseError
		if err := s.Shutdown(ctx); !errors.As(err, &ce) || ce.Aborted != 1 {
			t.Errorf("Shutdown: %v", err)
		}
		if time.Since(start) != time.Second {
			t.Error("the upgraded connection was forgotten")
		}
		wantClosed(t, <-read, MaybeProcessed)
		rw.Close()
	})
}

// L28: an abandoned body is reclaimed once; one that is read is not.
func TestBodyIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Options{BodyIdleTimeout: time.Minute}, func(*http.Request) fakeAnswer {
			return fakeAnswer{body: strings.Repeat("x", 100), flow: 9 * time.Minute}
		})
		read, err := s.Get(t.Context(), "https://a.test/")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(read.Body); len(b) != 100 || err != nil {
			t.Errorf("a body that flows: %d bytes, %v", len(b), err)
		}
		left, err := s.Get(t.Context(), "https://a.test/")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if st := s.Stats(); st.InFlight != 0 || st.Failed != 1 {
			t.Errorf("the abandoned body is still held: %+v", st)
		}
		_, err = left.Body.Read(make([]byte, 1))
		var te *TimeoutError
		if !errors.As(err, &te) || te.Option != "BodyIdleTimeout" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		left.Body.Close()
		s.Close()
	})
}

// Options.Timeout bounds the body as well, and says so; the caller's own deadline
// is told as it is.
func TestTimeoutInBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, own := range []bool{false, true} {
			s, _ := newFake(t, Options{Timeout: time.Minute}, func(*http.Request) fakeAnswer {
				return fakeAnswer{body: strings.Repeat("x", 100), flow: 9 * time.Minute}
			})
			ctx, cancel := t.Context(), func() {}
			if own {
				ctx, cancel = context.WithTimeout(ctx, time.Second)
			}
			resp, err := s.Get(ctx, "https://a.test/")
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(resp.Body)
			var te *TimeoutError
			if named := errors.As(err, &te) && te.Option == "Timeout"; named == own || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with a deadline of the caller's %v: %v", own, err)
			}
			resp.Body.Close()
			cancel()
			s.Close()
		}
	})
}

// L03: at whatever point of a response CloseNow comes, there is no short success.
func TestCloseNowIsHonestAtEveryPoint(t *testing.T) {
	for at := time.Duration(0); at <= 120*time.Millisecond; at += 5 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			s, f := newFake(t, Options{}, func(*http.Request) fakeAnswer {
				return fakeAnswer{queued: 20 * time.Millisecond, think: 20 * time.Millisecond, body: strings.Repeat("x", 100), flow: 60 * time.Millisecond}
			})
			done := make(chan struct{})
			go func() {
				defer close(done)
				req := newReq(t, "POST", "https://a.test/", []byte("y"))
				req.Header.Set("X-Id", "1")
				resp, err := s.Do(req)
				if err != nil {
					if resp != nil {
						t.Error("response beside the error")
					}
					if sent := f.wire["1"] > 0; sent && OutcomeOf(err) == NotSent {
						t.Errorf("at %v: sent, but %v", at, err)
					}
					wantClosed(t, err, OutcomeOf(err))
					return
				}
				if resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
				b, err := io.ReadAll(resp.Body)
				if err == nil && len(b) != 100 {
					t.Errorf("at %v: clean end after %d bytes", at, len(b))
				}
				if err != nil {
					wantClosed(t, err, MaybeProcessed)
				}
				resp.Body.Close()
			}()
			time.Sleep(at)
			if err := s.CloseNow(); err != nil {
				t.Error(err)
			}
			<-done
			wantConserved(t, s)
		})
	}
}

// A floor whose bodies cannot tell whether they have arrived: after a drain
// that ran to its end they have.
func TestDrainedBodiesCountAsWhole(t *testing.T) {
	for _, force := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, f := newFake(t, Options{}, func(*http.Request) fakeAnswer { return fakeAnswer{body: "x"} })
			s.floor = wrapFloor{f, func(resp *http.Response) { resp.Body = struct{ io.ReadCloser }{resp.Body} }}
			resp, err := s.Get(t.Context(), "https://a.test/")
			if err != nil {
				t.Fatal(err)
			}
			end := s.Close
			if force {
				end = s.CloseNow
			}
			if err := end(); err != nil {
				t.Error(err)
			}
			if st := s.Stats(); (st.OK == 1) == force || (st.Aborted == 1) != force {
				t.Errorf("force %v: %+v", force, st)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "x" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			resp.Body.Close()
		})
	}
}

// A shortWriter takes so many bytes, then no more and says nothing, or err.
type shortWriter struct {
	left int
	err  error
	got  strings.Builder
}

func (w *shortWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	w.got.Write(p[:n])
	if n < len(p) {
		return n, w.err
	}
	return n, nil
}

// WriteTo is what io.Copy uses: whatever it is given, it ends as Read does, and
// the request is counted the same.
func TestBodyWriteTo(t *testing.T) {
	full := errors.New("disk full")
	whole := strings.Repeat("0123456789", 20_000)
	for _, test := range []struct {
		name string
		opts Options
		ans  fakeAnswer
		w    shortWriter
		n    int
		err  error
		out  func(Stats) uint64
	}{
		{"whole", Options{}, fakeAnswer{body: whole}, shortWriter{left: 1 << 30}, len(whole), nil, func(s Stats) uint64 { return s.OK }},
		{"nothing", Options{}, fakeAnswer{body: ""}, shortWriter{left: 1 << 30}, 0, nil, func(s Stats) uint64 { return s.OK }},
		{"too long", Options{MaxBodyBytes: 1000}, fakeAnswer{body: whole}, shortWriter{left: 1 << 30}, 1000, ErrDecodedTooLarge, func(s Stats) uint64 { return s.Failed }},
		{"writer fails", Options{}, fakeAnswer{body: whole}, shortWriter{left: 70_000, err: full}, 70_000, full, func(s Stats) uint64 { return s.OK }},
		{"writer takes too little", Options{}, fakeAnswer{body: whole}, shortWriter{left: 7}, 7, io.ErrShortWrite, func(s Stats) uint64 { return s.OK }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := newFake(t, test.opts, func(*http.Request) fakeAnswer { return test.ans })
				resp, err := s.Get(t.Context(), "https://a.test/")
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(&test.w, resp.Body)
				if int(n) != test.n || test.w.got.Len() != test.n || !errors.Is(err, test.err) {
					t.Errorf("copied %d bytes, %d came, %v; want %d, %v", n, test.w.got.Len(), err, test.n, test.err)
				}
				if test.n == len(whole) && test.w.got.String() != whole {
					t.Error("other bytes")
				}
				resp.Body.Close()
				if st := s.Stats(); test.out(st) != 1 || st.InFlight != 0 {
					t.Errorf("stats %+v", st)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err == nil && test.err != nil {
					t.Error("a closed body can be copied")
				}
			})
		})
	}
}
