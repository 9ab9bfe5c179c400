package observe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// An h1Request is one HTTP/1.1 header section.
type h1Request struct {
	key    string // "GET www.truth.test/nav"
	line   string
	at     time.Time   // if that is known
	fields [][2]string // as they stood there, white space kept
}

func (q *h1Request) value(name string) string {
	for _, f := range q.fields {
		if lower(f[0]) == name {
			return f[1]
		}
	}
	return ""
}

// hasTimes reports whether it is known when each HTTP/1.1 request came.
func hasTimes(list []*Transcript) bool {
	return !slices.ContainsFunc(list, func(t *Transcript) bool { return len(t.HTTP1Millis) < len(t.HTTP1) })
}

// h1Requests lists the HTTP/1.1 requests: in the order of time, else as the
// connections came.
func h1Requests(list []*Transcript, timed bool) []h1Request {
	var all []h1Request
	for _, t := range list {
		for i, raw := range t.HTTP1 {
			lines := strings.Split(strings.TrimSuffix(strings.TrimSuffix(raw, "\r\n"), "\r\n"), "\r\n")
			q := h1Request{line: lines[0]}
			if timed {
				q.at = t.Start.Add(time.Duration(t.HTTP1Millis[i] * float64(time.Millisecond)))
			}
			host := ""
			for _, line := range lines[1:] {
				name, value, _ := strings.Cut(line, ":")
				q.fields = append(q.fields, [2]string{name, strings.TrimPrefix(value, " ")})
				if lower(name) == "host" {
					host = strings.TrimSpace(value)
				}
			}
			method, rest, _ := strings.Cut(lines[0], " ")
			path, _, _ := strings.Cut(rest, " ")
			q.key = method + " " + host + path
			all = append(all, q)
		}
	}
	slices.SortStableFunc(all, func(a, b h1Request) int { return a.at.Compare(b.at) })
	return all
}

// compareH1 compares the HTTP/1.1 requests byte for byte and returns how many
// both made. Several connections carry them, so without times which of one key
// came first is not known: one with the same Referer is its match before others.
func compareH1(r *fingerprints.Report, browser, client []*Transcript, opts *CompareOptions) (common int) {
	sent := map[string][]h1Request{}
	timed := hasTimes(browser) && hasTimes(client)
	for _, q := range h1Requests(client, timed) {
		sent[q.key] = append(sent[q.key], q)
	}
	wanted := h1Requests(browser, timed)
	opts.h1Images = map[string]bool{}
	for _, q := range wanted {
		if q.value("sec-fetch-dest") == "image" {
			opts.h1Images[q.value("priority")] = true
		}
	}
	for _, b := range wanted {
		list := sent[b.key]
		if len(list) == 0 {
			if !opts.Partial {
				r.Check(false, "%s over HTTP/1.1: the client never sent it", b.key)
			}
			continue
		}
		i := max(0, slices.IndexFunc(list, func(q h1Request) bool { return q.value("referer") == b.value("referer") }))
		compareH1Request(r, b, list[i], opts)
		sent[b.key] = slices.Delete(list, i, i+1)
		common++
	}
	return common
}

func compareH1Request(r *fingerprints.Report, b, c h1Request, opts *CompareOptions) {
	w := b.key + " over HTTP/1.1: "
	r.Check(c.line == b.line, "%sthe request line is %q, the browser's %q", w, c.line, b.line)
	names := func(fields [][2]string) (list []string) {
		for _, f := range fields {
			list = append(list, f[0])
		}
		return list
	}
	x, y := names(b.fields), names(c.fields)
	r.Check(slices.Equal(x, y), "%s%s", w, listDifference(x, y))
	if !slices.Equal(x, y) {
		return
	}
	for i, f := range b.fields {
		name := lower(f[0])
		want, got := opts.expect(name, f[1]), c.fields[i][1]
		same := got == want || isRandom(name, want, got)
		if name == "sec-websocket-key" { // 16 random bytes (RFC 6455, section 4.1)
			same = len(got) == len(want)
		}
		if name == "priority" && b.value("sec-fetch-dest") == "image" { // layout: see imagePriorities
			same = same || opts.Unwatched && opts.h1Images[got]
		}
		r.Check(same, "%s%s is %q, the browser sends %q", w, f[0], got, want)
	}
}

// Describe says in one line what a transcript holds, for people.
func (t *Transcript) Describe() string {
	n, proto := len(t.HTTP1), "HTTP/1.1"
	if t.IsHTTP2() {
		n, proto = len(requests([]*Transcript{t})), "HTTP/2"
	}
	handshake := "fresh"
	if t.Resumed {
		handshake = "resumed"
	}
	return fmt.Sprintf("connection %d to %s, %s, %s, %d requests", t.ID, orNone(t.SNI), handshake, proto, n)
}
