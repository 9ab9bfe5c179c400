package impersonate

import (
	"sync"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/http2"
)

// A look is a profile and a locale in the form that Transports work with.
// It holds nothing of theirs: those of an embedded profile share one.
type look struct {
	hello  *helloSpec
	habits habits
	h2     *http2.Config
	alpn   []string // what the profile offers
	forms  forms
}

// maxLooks bounds the looks kept: locales are the caller's to name.
const maxLooks = 64

// looks are those of embedded profiles, which nobody changes.
var looks struct {
	mu    sync.Mutex // guards known
	known map[lookKey]*look
}

type lookKey struct {
	profile *fingerprints.Profile
	locale  string
}

// lookOf returns the look of p, compiled anew unless p is shared.
func lookOf(p *fingerprints.Profile, locale string) (*look, error) {
	if !p.IsShared() {
		return compileLook(p, locale)
	}
	key := lookKey{p, locale}
	looks.mu.Lock()
	known := looks.known[key]
	looks.mu.Unlock()
	if known != nil {
		return known, nil
	}
	made, err := compileLook(p, locale)
	if err != nil {
		return nil, err
	}
	looks.mu.Lock()
	defer looks.mu.Unlock()
	if known := looks.known[key]; known != nil {
		return known, nil
	}
	if looks.known == nil || len(looks.known) >= maxLooks {
		looks.known = make(map[lookKey]*look)
	}
	looks.known[key] = made
	return made, nil
}

// compileLook refuses a profile that no Transport could use.
func compileLook(p *fingerprints.Profile, locale string) (*look, error) {
	hello, err := compileHello(&p.TLS)
	if err != nil {
		return nil, err
	}
	l := &look{
		hello:  hello,
		habits: newHabits(p),
		h2:     newH2Config(&p.HTTP2),
		alpn:   offered(&p.TLS),
		forms:  forms{profile: p, locale: locale},
	}
	navigation := fingerprints.Request{HTTP2: true, Method: "GET", Dest: fingerprints.Document,
		Mode: fingerprints.Navigate, Site: fingerprints.SiteNone, Kind: "typed", User: true, Credentials: true}
	if _, err := l.forms.lookup(&navigation); err != nil {
		return nil, err
	}
	return l, nil
}
