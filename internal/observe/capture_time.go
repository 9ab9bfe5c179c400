package observe

import (
	"slices"
	"strings"
	"time"
)

// longestLag is how much later than its times say a connection of the original
// form may have begun to speak.
const longestLag = time.Second

// straighten moves the start of connections whose frames are timed since the
// end of a handshake that is not timed itself: on a busy machine that makes a
// redirect's target come before the redirect. Each such connection is moved
// behind the redirect, and with it what else it carried.
func straighten(list []*Transcript) {
	for range len(list) {
		late, by := lagging(list)
		if late == nil {
			return
		}
		late.Start = late.Start.Add(by)
	}
}

// A visit is a request at a point in time; to is where a redirect led from it.
type visit struct {
	at      time.Time
	url, to string
	conn    *Transcript
}

// lagging finds a connection on which a redirect's target comes before the
// redirect on another, and by how much.
func lagging(list []*Transcript) (late *Transcript, by time.Duration) {
	var redirects []visit
	visits := visitsOf(list)
	for _, v := range visits {
		if v.to != "" {
			redirects = append(redirects, v)
		}
	}
	for _, v := range visits {
		i := slices.IndexFunc(redirects, func(r visit) bool { return r.to == v.url && r.at.Sub(v.at) < longestLag })
		if i < 0 {
			continue
		}
		if d := redirects[i].at.Sub(v.at); d >= 0 && redirects[i].conn != v.conn {
			return v.conn, d + time.Millisecond
		}
		redirects = slices.Delete(redirects, i, i+1)
	}
	return nil, 0
}

// visitsOf lists the requests in the order of time.
func visitsOf(list []*Transcript) (visits []visit) {
	for _, t := range list {
		for _, f := range t.Frames {
			if f.Type != "HEADERS" || f.Value(":path") == "" {
				continue
			}
			v := visit{at: t.Start.Add(time.Duration(f.Millis * float64(time.Millisecond))), url: f.Value(":authority") + f.Value(":path"), conn: t}
			if _, to, ok := strings.Cut(f.Value(":path"), "/redir?to="); ok {
				if v.to = strings.TrimPrefix(to, "https://"); strings.HasPrefix(v.to, "/") {
					v.to = f.Value(":authority") + v.to
				}
			}
			visits = append(visits, v)
		}
	}
	slices.SortStableFunc(visits, func(a, b visit) int { return a.at.Compare(b.at) })
	return visits
}
