package observe

import (
	"slices"
	"strconv"
	"strings"

	"github.com/guise-http/guise/fingerprints"
)

// journeys are the requests that both made, and the connections on which they
// travelled.
type journeys struct {
	browser, client []*Transcript
	pairs           [][2]h2Request // the browser's, and the client's
}

func (j *journeys) note(b, c h2Request) { j.pairs = append(j.pairs, [2]h2Request{b, c}) }

// compare looks whether the same requests share a connection, and whether it
// is to the same host and begins with the same kind of handshake. The first
// request of a connection stands for it.
func (j *journeys) compare(r *fingerprints.Report, opts *CompareOptions) {
	for _, p := range j.pairs {
		b, c := p[0], p[1]
		want, got := j.first(0, b.conn), j.first(1, c.conn)
		same := want.is(got)
		if !same && opts.Unwatched && got.conn != b.conn {
			// Firefox forgets after a while which connections serve a host, and
			// opens another one (testdata/captures/firefox-153-everything.json, connection 54).
			same = slices.ContainsFunc(j.pairs, func(p [2]h2Request) bool { return p[0].conn == got.conn && p[0].isLike(&b) })
		}
		r.Check(same, "%s: it travels on the connection of %s, in the browser on that of %s", b.key, got.key, want.key)
		if !want.is(&b) || !got.is(&b) {
			continue
		}
		x, y := j.browser[b.conn], j.client[c.conn]
		r.Check(x.SNI == y.SNI, "%s: its connection is to %s, the browser's to %s", b.key, y.SNI, x.SNI)
		r.Check(x.Resumed == y.Resumed, "%s: that its connection resumes a session is %t, in the browser %t", b.key, y.Resumed, x.Resumed)
	}
}

// first is the browser's form of the first request on a connection of one side.
func (j *journeys) first(side, conn int) *h2Request {
	i := slices.IndexFunc(j.pairs, func(p [2]h2Request) bool { return p[side].conn == conn })
	return &j.pairs[i][0]
}

func (q *h2Request) is(o *h2Request) bool { return q.key == o.key && q.nth == o.nth }

// isLike reports whether two requests go to the same host from the same site
// with or without credentials: the same connection serves both.
func (q *h2Request) isLike(o *h2Request) bool {
	of := func(q *h2Request) [3]string {
		f := q.frame
		credentials := f.Value("sec-fetch-storage-access") + strconv.FormatBool(f.Value("cookie") != "")
		return [3]string{f.Value(":authority"), siteOf(f.Value("referer")), credentials}
	}
	return of(q) == of(o)
}

// siteOf is the last two labels of a URL's host, which is the site of each of
// the captures' hosts.
func siteOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	labels := strings.Split(host, ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}
