package fingerprints

import "testing"

func TestAkamai(t *testing.T) {
	chrome := &H2Preface{
		Settings:     []Setting{{1, 65536}, {2, 0}, {4, 6291456}, {6, 262144}},
		WindowUpdate: 15663105,
		Pseudo:       []string{":method", ":authority", ":scheme", ":path"},
		Headers:      &H2Priority{Stream: 1, Exclusive: true, Weight: 256},
	}
	tree := &H2Preface{ // Firefox up to 119
		Settings:     []Setting{{1, 65536}, {4, 131072}, {5, 16384}},
		WindowUpdate: 12517377,
		Priorities: []H2Priority{{Stream: 3, Weight: 201}, {Stream: 5, Weight: 101}, {Stream: 7, Weight: 1},
			{Stream: 9, Dep: 7, Weight: 1}, {Stream: 11, Dep: 3, Weight: 1}, {Stream: 13, Weight: 241}},
		Pseudo: []string{":method", ":path", ":authority", ":scheme"},
	}
	for _, tt := range []struct{ name, got, want string }{
		{"Chrome, paper", chrome.Akamai(), "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p"},
		{"Chrome, hash", chrome.AkamaiHash(), "52d84b11737d980aef856699f885ca86"}, // stated by koon, facts/chrome_155.json
		{"Chrome, with HEADERS priority", chrome.AkamaiHeaders(), "1:65536;2:0;4:6291456;6:262144|15663105|1:1:0:256|m,a,s,p"},
		{"Firefox tree", tree.Akamai(), "1:65536;4:131072;5:16384|12517377|3:0:0:201,5:0:0:101,7:0:0:1,9:0:7:1,11:0:3:1,13:0:0:241|m,p,a,s"},
		{"nothing", (&H2Preface{}).Akamai(), "|00|0|"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, tt.got, tt.want)
		}
	}
	if chrome.AkamaiHeadersHash() == chrome.AkamaiHash() {
		t.Error("the two dialects have one hash")
	}
}

func TestFrameText(t *testing.T) {
	got := FrameText([]H2Frame{
		{Type: "SETTINGS", Settings: []Setting{{1, 65536}, {4, 131072}}},
		{Type: "WINDOW_UPDATE", Increment: 12517377},
		{Type: "SETTINGS", Flags: 1},
		{Type: "HEADERS", Flags: 0x25, Stream: 3, Priority: &H2Priority{Stream: 3, Weight: 42}, TableUpdate: []uint64{4096}, Fields: []H2Field{
			{Name: ":method", Rep: "indexed", NameIndex: 2}, {Name: ":path", Rep: "literal", NameIndex: 4, HuffValue: true},
			{Name: "te", Rep: "incremental"}, {Name: "cookie", Rep: "never", NameIndex: 32}}},
		{Type: "WINDOW_UPDATE", Stream: 3, Increment: 12451840},
		{Type: "PRIORITY_UPDATE", Payload: "3 u=0, i"},
	})
	want := "SETTINGS(0,0x00):1:65536;4:131072|WINDOW_UPDATE(0,0x00):12517377|" +
		"HEADERS(3,0x25,3:0:0:42):t4096,:method=i2,:path=l4h,te=a0r,cookie=n32r|WINDOW_UPDATE(3,0x00):12451840|PRIORITY_UPDATE(0,0x00):3 u=0, i"
	if got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
}
