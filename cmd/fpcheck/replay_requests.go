package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/guise-http/guise/internal/observe"
)

// An asked is one request of a captured browser.
type asked struct {
	at      time.Time
	conn    int // index of its connection
	method  string
	url     *url.URL
	headers http.Header
	names   []string // in wire order, spelled as they stood there
	http1   bool
	body    []byte
	bodyLen int            // HTTP/1.1: its body is not in the capture
	frame   *observe.Frame // HTTP/2 only

	redirected, crossed, started bool // behind a redirect, one to another origin, one that began at another origin
}

func (s *asked) value(name string) string { return s.headers.Get(name) }

func (s *asked) key() string { return s.method + " " + s.url.String() }

// requestsOf lists what the browser asked for, in the order of time.
func requestsOf(list []*observe.Transcript) ([]asked, error) {
	var all []asked
	timed := false // HTTP/1.1
	for n, t := range list {
		for i, f := range t.Frames {
			if f.Type != "HEADERS" || f.Value(":method") == "" {
				continue
			}
			s, err := newAsked(f.Value(":method"), f.Value(":authority"), f.Value(":path"))
			if err != nil {
				return nil, err
			}
			s.at = t.Start.Add(time.Duration(f.Millis * float64(time.Millisecond)))
			for _, x := range f.Fields {
				if !strings.HasPrefix(x.Name, ":") {
					s.add(x.Name, x.Value)
				}
			}
			s.conn, s.body, s.frame = n, bodyOf(t.Frames[i+1:], f.Stream), f
			all = append(all, *s)
		}
		for i, raw := range t.HTTP1 {
			s, err := headAsked(raw)
			if err != nil {
				return nil, err
			}
			s.conn = n
			s.at = t.Start.Add(time.Duration(i) * time.Microsecond) // if the order within the connection is all that is known
			if timed = i < len(t.HTTP1Millis); timed {
				s.at = t.Start.Add(time.Duration(t.HTTP1Millis[i] * float64(time.Millisecond)))
			}
			all = append(all, *s)
		}
	}
	slices.SortStableFunc(all, func(a, b asked) int { return a.at.Compare(b.at) })
	if timed || slices.ContainsFunc(all, func(s asked) bool { return !s.http1 }) {
		return all, nil
	}
	return behindRedirects(byDocument(all)), nil
}

// behindRedirects moves what a redirect leads to behind it, where it stands
// before.
func behindRedirects(all []asked) []asked {
	for i := 0; i < len(all); i++ {
		to := all[i].leadsTo()
		if to == nil {
			continue
		}
		is := func(q asked) bool { return q.url.String() == to.String() }
		if j := slices.IndexFunc(all[:i], is); j >= 0 && !slices.ContainsFunc(all[i:], is) {
			moved := all[j]
			all = slices.Insert(slices.Delete(all, j, j+1), i, moved)
		}
	}
	return all
}

// byDocument orders the requests of several HTTP/1.1 connections, whose times
// are not known: behind each navigation come those that its document refers
// to, and, once each, those that do not say which document they belong to.
func byDocument(all []asked) []asked {
	var out []asked
	left := slices.Clone(all)
	document := ""
	for {
		i := slices.IndexFunc(left, func(s asked) bool { return s.isDocument() && s.value("referer") == document })
		if i < 0 {
			return append(out, left...)
		}
		out = append(out, left[i])
		document = left[i].url.String()
		left = slices.Delete(left, i, i+1)
		seen := map[string]bool{}
		left = slices.DeleteFunc(left, func(s asked) bool {
			referer := s.value("referer")
			mine := referer == document || !seen[s.key()] && (referer == "" || strings.HasSuffix(referer, ".css") || strings.HasSuffix(referer, ".test/"))
			if mine = mine && !s.isDocument(); mine {
				seen[s.key()] = true
				out = append(out, s)
			}
			return mine
		})
	}
}

// isDocument reports whether the request navigates.
func (s *asked) isDocument() bool {
	dest := s.value("sec-fetch-dest")
	return dest == "document" || dest == "" && s.value("upgrade-insecure-requests") != ""
}

func newAsked(method, host, path string) (*asked, error) {
	u, err := url.Parse("https://" + host + path)
	if err != nil {
		return nil, fmt.Errorf("captured request: %w", err)
	}
	return &asked{method: method, url: u, headers: http.Header{}}, nil
}

func (s *asked) add(name, value string) {
	s.headers.Add(name, value)
	s.names = append(s.names, name)
}

// headAsked reads an HTTP/1.1 header section.
func headAsked(raw string) (*asked, error) {
	lines := strings.Split(strings.TrimRight(raw, "\r\n"), "\r\n")
	words := strings.Split(lines[0], " ")
	fields := http.Header{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		fields.Add(name, strings.TrimSpace(value))
	}
	if len(words) != 3 {
		return nil, fmt.Errorf("captured request line %q", lines[0])
	}
	s, err := newAsked(words[0], fields.Get("Host"), words[1])
	if err != nil {
		return nil, err
	}
	s.http1 = true
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		s.add(name, strings.TrimSpace(value))
	}
	if n, err := strconv.Atoi(s.value("content-length")); err == nil && n <= 1<<22 {
		s.bodyLen = n
	}
	return s, nil
}

// bodyOf puts a request body together; where the capture has only lengths,
// zeros stand in.
func bodyOf(frames []*observe.Frame, stream uint32) []byte {
	var body []byte
	for _, f := range frames {
		if f.Type == "DATA" && f.Stream == stream {
			data, err := hex.DecodeString(f.Payload)
			if err != nil || len(data) != int(f.Len) {
				data = make([]byte, f.Len)
			}
			body = append(body, data...)
		}
	}
	return body
}

// isText reports whether a body can stand in a replay as it is.
func isText(body []byte) bool {
	return !bytes.ContainsFunc(body, func(r rune) bool { return r == 0 || r == '�' })
}
