package fingerprints

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// over is a text that lays top over Chrome's newest captured profile.
func over(top string) string { return `{"extends":"chrome-156","name":"x",` + top + `}` }

// TestLoadRefuses feeds broken texts; each error names the field and says why.
func TestLoadRefuses(t *testing.T) {
	deep := strings.Repeat(`{"tls":`, 40) + "1" + strings.Repeat("}", 40)
	shares := func(s string) string {
		return over(`"tls":{"extensions":{"0x0033":{"shares":[` + s + `]}}}`)
	}
	for _, c := range []struct{ name, text, path, cause string }{
		{"nothing", ``, "", "ends early"},
		{"empty object", `{}`, "schema", "missing"},
		{"no object", `[]`, "", "want an object"},
		{"truncated", `{"name":"x","tls":{"extensions":[{"type":`, "tls.extensions[0].type", "ends early"},
		{"truncated in a list", `{"tls":{"cipher_suites":["0x1301"`, "tls.cipher_suites", "ends early"},
		{"not JSON", `{"name":x}`, "name", "byte"},
		{"text behind", `{} {}`, "", "more text"},
		{"unknown field", over(`"tls":{"colour":1}`), "tls.colour", "unknown field"},
		{"unknown field in a list", over(`"tls":{"extensions":{"0x000a":{"colour":1}}}`), "tls.extensions[4].colour", "unknown field"},
		{"case of a name", over(`"TLS":{}`), "TLS", "unknown field"},
		{"doubled key", over(`"http2":{"settings":[],"settings":[]}`), "http2.settings", "twice"},
		{"doubled key at the top", `{"name":"a","name":"b"}`, "name", "twice"},
		{"missing field", over(`"http2":{"window_update":null}`), "http2.window_update", "missing"},
		{"1 GB number", over(`"tls":{"session_id":1073741824}`), "tls.session_id", "want 0 to 32"},
		{"number beyond 64 bits", over(`"tls":{"session_id":` + strings.Repeat("9", 1000) + `}`), "tls.session_id", "not an integer"},
		{"number as text", over(`"tls":{"session_id":"32"}`), "tls.session_id", "want a number"},
		{"fraction", over(`"tls":{"session_id":32.0}`), "tls.session_id", "not an integer"},
		{"exponent", over(`"http2":{"window_update":1e6}`), "http2.window_update", "not a whole number"},
		{"negative", over(`"http2":{"window_update":-1}`), "http2.window_update", "not a whole number"},
		{"too large for 16 bits", over(`"tls":{"record_version":65536}`), "tls.record_version", "65535"},
		{"too large for 8 bits", over(`"tls":{"compression":[256]}`), "tls.compression[0]", "255"},
		{"list for a string", over(`"version":["156"]`), "version", "want a string"},
		{"object for a list", over(`"http2":{"settings":{"1":1}}`), "http2.settings.1", "no element"},
		{"setting of three numbers", over(`"http2":{"settings":[[1,2,3]]}`), "http2.settings[0]", "want 2 numbers"},
		{"null", over(`"headers":{"lists":[null]}`), "headers.lists[0]", "want an object"},
		{"too deep", deep, strings.TrimSuffix(strings.Repeat("tls.", 33), "."), "deep"},
		{"too long", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, "", "longer than"},
		{"not UTF-8", "{\"name\":\"\xff\"}", "", "UTF-8"},
		{"bad value", shares(`{"group":"0x1D"}`), "tls.extensions[11].shares[0].group", "want"},
		{"GREASE as a number", shares(`{"group":"0x0a0a"}`), "tls.extensions[11].shares[0].group", "GREASE"},
		{"share of no group", shares(`{"group":"0x0019"}`), "tls.extensions[11].shares[0].group", "not among the supported groups"},
		{"upper-case hex", over(`"tls":{"extensions":{"0xff01":{"data":"0A"}}}`), "tls.extensions[3].data", "lower-case"},
		{"unknown base", `{"extends":"netscape-4","name":"x"}`, "extends", "no embedded profile"},
		{"base of another type", `{"extends":1}`, "extends", "want a string"},
		{"schema of tomorrow", over(`"schema":2`), "schema", "schema 1"},
		{"name with a slash", `{"extends":"chrome-156","name":"../x"}`, "name", "lower-case"},
		{"no date", over(`"released":"yesterday"`), "released", "date"},
		{"no sources", over(`"sources":[]`), "sources", "where it comes from"},
		{"no versions", over(`"tls":{"extensions":{"0x002b":null}}`), "tls.extensions", "supported_versions"},
		{"no cipher suite", over(`"tls":{"cipher_suites":["GREASE"]}`), "tls.cipher_suites", "no cipher suite"},
		{"no null compression", over(`"tls":{"compression":[]}`), "tls.compression", "must hold 0"},
		{"extension twice", over(`"tls":{"extensions":[{"type":"0x0017"},{"type":"0x0017"}]}`), "tls.extensions[1].type", "twice"},
		{"three GREASE extensions", over(`"tls":{"extensions":[{"type":"GREASE"},{"type":"GREASE"},{"type":"GREASE"}]}`), "tls.extensions[2].type", "at most two"},
		{"pre_shared_key", over(`"tls":{"extensions":[{"type":"0x0029","data":"00"}]}`), "tls.extensions[0].type", "resumed"},
		{"groups in ALPN", over(`"tls":{"extensions":{"0x0010":{"groups":["0x001d"]}}}`), "tls.extensions[7].groups", "does not belong"},
		{"drop of what is not there", over(`"tls":{"websocket":{"drop":[99]}}`), "tls.websocket.drop[0]", "no extension"},
		{"window above 2^31-1", over(`"http2":{"window_update":2147483647}`), "http2.window_update", "2^31-1"},
		{"stream window above 2^31-1", over(`"http2":{"stream_window_update":2147483647}`), "http2.stream_window_update", "2^31-1"},
		{"initial window above 2^31-1", over(`"http2":{"settings":[[4,2147483648]]}`), "http2.settings[0]", "2^31-1"},
		{"even stream", over(`"http2":{"first_stream":2}`), "http2.first_stream", "odd"},
		{"pseudo-header missing", over(`"http2":{"pseudo_order":[":method"]}`), "http2.pseudo_order", "once each"},
		{"weight 257", over(`"http2":{"priority":{"rules":[{"weight":257}]}}`), "http2.priority.rules[0].weight", "0 to 256"},
		{"unknown destination", over(`"http2":{"priority":{"rules":[{"when":{"dest":["picture"]}}]}}`), "http2.priority.rules[0].when.dest[0]", "want one of"},
		{"unknown mode", over(`"headers":{"values":{"accept":[{"when":{"mode":["corse"]},"value":"x"}]}}`), "headers.values.accept[0].when.mode[0]", "want one of"},
		{"line feed in a value", over(`"headers":{"values":{"accept":[{"value":"a\nb: c"}]}}`), "headers.values.accept[0].value", "not a header field value"},
		{"NUL in a variable", over(`"headers":{"vars":{"accept-html":"a\u0000"}}`), "headers.vars.accept-html", "not a header field value"},
		{"carriage return in the agent", strings.Replace(over(`"platforms":[{"name":"linux","vars":{"user-agent":"a\rb"}}]`), `\r`, `\u000d`, 1), "platforms[0].vars.user-agent", "not a header field value"},
		{"unknown variable", over(`"headers":{"values":{"accept":[{"value":"${colour}"}]}}`), "headers.values.accept[0].value", "${colour}"},
		{"open variable", over(`"headers":{"values":{"accept":[{"value":"${locale"}]}}`), "headers.values.accept[0].value", "without }"},
		{"field with a space", over(`"headers":{"lists":[{"name":"a","fields":["a b"]}]}`), "headers.lists[0].fields[0]", "field name"},
		{"field twice", over(`"headers":{"lists":[{"name":"a","fields":["accept","accept"]}]}`), "headers.lists[0].fields[1]", "twice"},
		{"table without a place", over(`"headers":{"lists":[{"name":"a","fields":["accept"],"table":["*"]}]}`), "headers.lists[0].table", "if and only if"},
		{"no list for the rest", over(`"headers":{"lists":[{"name":"a","when":{"dest":["font"]},"fields":["accept"]}]}`), "headers.lists[0].when", "every request"},
		{"another name in its spelling", over(`"http1":{"names":{"accept":"Excepted"}}`), "http1.names.accept", "another name"},
		{"no connections", over(`"connections":null`), "connections", "missing"},
		{"unknown partition", over(`"connections":{"partition":"tab"}`), "connections.partition", "want one of"},
		{"unknown coalescing", over(`"connections":{"coalesce":"always"}`), "connections.coalesce", "want one of"},
		{"no WebSocket", over(`"connections":{"websockets":0}`), "connections.websockets", "1 to 1024"},
		{"keepalive without interval", over(`"connections":{"keepalive":{"interval":0}}`), "connections.keepalive.interval", "want 1"},
		{"a server's field for the proxy", over(`"connections":{"proxy":{"connect":["host","cookie"]}}`), "connections.proxy.connect[1]", "want one of"},
		{"field twice for the proxy", over(`"connections":{"proxy":{"connect":["host","host"]}}`), "connections.proxy.connect[1]", "twice"},
		{"no place for credentials", over(`"connections":{"proxy":{"connect":["host"]}}`), "connections.proxy.connect", "proxy-authorization is missing"},
		{"another name for host", over(`"connections":{"proxy":{"rename":{"host":"x"}}}`), "connections.proxy.rename.host", "understood"},
		{"credentials at two places", over(`"connections":{"proxy":{"before":["accept"]}}`), "connections.proxy.before", "behind"},
		{"credentials behind no field", over(`"connections":{"proxy":{"behind":["a b"]}}`), "connections.proxy.behind[0]", "field name"},
		{"upper case in another name", over(`"connections":{"proxy":{"rename":{"connection":"X"}}}`), "connections.proxy.rename.connection", "lower-case"},
		{"unknown cookies", over(`"pages":{"cookies":{"unset":"strict"}}`), "pages.cookies.unset", "want one of"},
		{"grace without lax", over(`"pages":{"cookies":{"unset":"none"}}`), "pages.cookies.unset_grace", "lax"},
		{"unknown third parties", over(`"pages":{"cookies":{"third_parties":"some"}}`), "pages.cookies.third_parties", "want one of"},
		{"default above the most", over(`"pages":{"preflight":{"max_age":4}}`), "pages.preflight.default_age", "0 to 4"},
		{"unknown boundary", over(`"pages":{"form_boundary":"trident"}`), "pages.form_boundary", "want one of"},
	} {
		_, err := Load(strings.NewReader(c.text))
		var fault *ProfileError
		if !errors.As(err, &fault) {
			t.Errorf("%s: %v, want a ProfileError", c.name, err)
			continue
		}
		if fault.Path != c.path {
			t.Errorf("%s: path %q, want %q (%v)", c.name, fault.Path, c.path, err)
		}
		if fault.Err == nil || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.cause)
		}
		if len(err.Error()) > 400 {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
	}
}

func TestLoadReportsReader(t *testing.T) {
	_, err := Load(io.MultiReader(strings.NewReader("{"), failing{}))
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v, want what the reader said", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestEncodeIsAFixpoint loads what Encode wrote and writes it again.
func TestEncodeIsAFixpoint(t *testing.T) {
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		first := encoded(t, p)
		q, err := Load(bytes.NewReader(first))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if second := encoded(t, q); !bytes.Equal(first, second) {
			t.Errorf("%s: a second round differs", name)
		}
	}
}

func encoded(t testing.TB, p *Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzLoad takes any text: it never panics, every error is typed, and what loads
// is encoded to a fixpoint.
func FuzzLoad(f *testing.F) {
	p, err := Lookup("chrome-156")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded(f, p))
	for name := range embeddedTrees() {
		text, err := profileFiles.ReadFile("profiles/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(over(`"tls":{"session_id":1073741824}`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := LoadWith(bytes.NewReader(text), LoadOptions{AllowMixed: true})
		if err != nil {
			var fault *ProfileError
			if !errors.As(err, &fault) || fault.Err == nil {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		first := encoded(t, p)
		q, err := LoadWith(bytes.NewReader(first), LoadOptions{AllowMixed: true})
		if err != nil {
			t.Fatalf("does not load again: %v", err)
		}
		if !bytes.Equal(first, encoded(t, q)) {
			t.Fatal("a second round differs")
		}
		for _, r := range []Request{{HTTP2: true}, {Method: "POST", Body: true}, {Dest: Image}} {
			form, err := p.Form(r, "de,en-US")
			if err != nil {
				t.Fatal(err) // the last list matches everything
			}
			form.Arrange("x-a", "content-type", "accept")
		}
	})
}
