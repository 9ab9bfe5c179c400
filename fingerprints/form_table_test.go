package fingerprints

import (
	"bytes"
	"testing"
)

// A field that HTTP/2 has no place for may stand in a list's table as it may in
// the list: it is left out.
func TestTableWithAFieldOfHTTP1(t *testing.T) {
	p, err := Lookup("chrome-156")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := p.Encode(&text); err != nil {
		t.Fatal(err)
	}
	if p, err = Load(&text); err != nil {
		t.Fatal(err)
	}
	tables := 0
	for i := range p.Headers.Lists {
		if l := &p.Headers.Lists[i]; len(l.Table) > 0 {
			l.Table, tables = append(l.Table, "sec-websocket-key"), tables+1
		}
	}
	text.Reset()
	if err := p.Encode(&text); err != nil || tables == 0 {
		t.Fatal(err, tables)
	}
	if p, err = Load(&text); err != nil {
		t.Fatal(err)
	}
	for _, h2 := range []bool{true, false} {
		f, err := p.Form(Request{HTTP2: h2, Dest: Empty, Mode: CORS}, "")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, x := range f.Arrange("x-own") {
			found = found || x.Name == "x-own"
			if x.Name == "sec-websocket-key" && h2 {
				t.Error("it is sent on HTTP/2")
			}
		}
		if !found {
			t.Error("the request's own field is lost")
		}
	}
}
