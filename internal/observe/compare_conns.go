package observe

import (
	"slices"

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
func (j *journeys) compare(r *fingerprints.Report) {
	first := func(side, conn int) *h2Request {
		i := slices.IndexFunc(j.pairs, func(p [2]h2Request) bool { return p[side].conn == conn })
		return &j.pairs[i][0]
	}
	for _, p := range j.pairs {
		b, c := p[0], p[1]
		want, got := first(0, b.conn), first(1, c.conn)
		r.Check(want.key == got.key && want.nth == got.nth,
			"%s: it travels on the connection of %s, in the browser on that of %s", b.key, got.key, want.key)
		if want.key != b.key || want.nth != b.nth || got.key != b.key || got.nth != b.nth {
			continue
		}
		x, y := j.browser[b.conn], j.client[c.conn]
		r.Check(x.SNI == y.SNI, "%s: its connection is to %s, the browser's to %s", b.key, y.SNI, x.SNI)
		r.Check(x.Resumed == y.Resumed, "%s: that its connection resumes a session is %t, in the browser %t", b.key, y.Resumed, x.Resumed)
	}
}
