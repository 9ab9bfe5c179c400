package impersonate

import (
	"strings"
	"testing"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// TestHabitsAreData: what a browser does with connections follows from the
// words of its profile, whatever the browser is called.
func TestHabitsAreData(t *testing.T) {
	load := func(connections string) *fingerprints.Profile {
		p, err := fingerprints.Load(strings.NewReader(`{"extends": "chrome-156", "name": "chrome-199", "connections": {` + connections + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for text, want := range map[string]habits{
		``: {anonymousApart: true, sites: true, frames: true, coalesce: true},
		`"partition": "site", "anonymous_apart": false, "coalesce": "never"`: {sites: true},
		`"partition": "site"`:                               {anonymousApart: true, sites: true, coalesce: true},
		`"partition": "none"`:                               {anonymousApart: true, coalesce: true},
		`"anonymous_apart": null`:                           {sites: true, frames: true, coalesce: true},
		`"coalesce": "never"`:                               {anonymousApart: true, sites: true, frames: true},
		`"coalesce": "connected"`:                           {anonymousApart: true, sites: true, frames: true, coalesce: true, connectsFirst: true},
		`"anonymous_apart": false, "anonymous_joins": true`: {anonymousJoins: true, sites: true, frames: true, coalesce: true},
	} {
		if got := newHabits(load(text)); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}

	p := load(`"websockets": 7, "keepalive": {"idle": 3, "interval": 4}, "proxy": {"connect": ["proxy-authorization", "host"]}`)
	var names []string
	for _, f := range connectFields(p, "a.test:443", "x") {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "Proxy-Authorization Host" {
		t.Errorf("CONNECT has the fields %s", got)
	}
	if d := dialer(&p.Connections.Keepalive); d.KeepAliveConfig.Idle != 3*time.Second || d.KeepAliveConfig.Interval != 4*time.Second || !d.KeepAliveConfig.Enable {
		t.Errorf("TCP is probed as %+v", d.KeepAliveConfig)
	}
	if d := dialer(&load(`"keepalive": null`).Connections.Keepalive); d.KeepAlive >= 0 || d.KeepAliveConfig.Enable {
		t.Errorf("TCP is probed without keepalive: %+v", d)
	}
	tr := newTransport(t, nil, func(o *Options) { o.Profile = p })
	if n := tr.maxUnknown(connKey{scheme: "http", host: "a.test", websocket: true}); n != 7 {
		t.Errorf("%d WebSockets", n)
	}
}
