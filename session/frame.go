package session

import (
	"net/url"

	"github.com/guise-http/guise/fingerprints"
)

// NewFrame returns an empty frame in the document that t shows: an IFrame, or a
// Frame of a frameset; t may be a frame itself. Navigate shows its first document
// in the parent's name, and each further one as a link or script in the frame
// does. What the frame's document loads and fetches is referred by that, and
// belongs to the tab's site: to which cookies and connections it has access,
// and what Sec-Fetch-Storage-Access says, depends on every document around it.
// While it is empty it is its parent's srcdoc.
//
// When t shows another document, use no frame of the one before.
func (t *Tab) NewFrame(dest fingerprints.Dest) *Tab {
	if dest != fingerprints.Frame {
		dest = fingerprints.IFrame
	}
	return &Tab{s: t.s, parent: t, dest: dest}
}

// shown is the document in whose name t makes its requests: its own, or while a
// frame is empty that around it.
func (t *Tab) shown() *document {
	for ; t != nil; t = t.parent {
		if d := t.document(); d != nil {
			return d
		}
	}
	return nil
}

// top is the URL of the tab's own document; that of d if there is none.
func (t *Tab) top(d *document) *url.URL {
	for t.parent != nil {
		t = t.parent
	}
	if own := t.document(); own != nil {
		return own.url
	}
	return d.url
}

// isForeign reports whether the document that t shows, or one around it, is of
// another site than the tab's.
func (t *Tab) isForeign() bool {
	d := t.shown()
	if d == nil {
		return false
	}
	top := originOf(t.top(d))
	for ; t != nil; t = t.parent {
		if d := t.document(); d != nil && !originOf(d.url).sameSite(top) {
			return true
		}
	}
	return false
}

// framed makes p, for which d is the document that navigates, the plan of a
// frame's navigation.
func (t *Tab) framed(p *plan, d **document) {
	if around := t.parent.shown(); around != nil {
		p.topLevel, p.foreign = t.top(around), t.parent.isForeign()
		if *d == nil {
			*d, p.user = around, false
			t.s.habits.inherit(p, around)
		}
	}
}
