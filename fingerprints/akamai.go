package fingerprints

import (
	"fmt"
	"strings"
)

// Akamai returns the HTTP/2 fingerprint text in the form of the paper
// (Shuster, Black Hat Europe 2017): settings joined by ";", the connection's
// WINDOW_UPDATE, PRIORITY frames, pseudo-header order. The priority inside
// HEADERS is not counted.
func (p *H2Preface) Akamai() string { return p.akamai(false) }

// AkamaiHash returns the MD5 of [H2Preface.Akamai].
func (p *H2Preface) AkamaiHash() string { return md5Hex(p.Akamai()) }

// AkamaiHeaders returns the text in the dialect that counts the priority
// inside the first HEADERS among the PRIORITY frames: fingerproxy's.
func (p *H2Preface) AkamaiHeaders() string { return p.akamai(true) }

// AkamaiHeadersHash returns the MD5 of [H2Preface.AkamaiHeaders].
func (p *H2Preface) AkamaiHeadersHash() string { return md5Hex(p.AkamaiHeaders()) }

func (p *H2Preface) akamai(headers bool) string {
	update := "00"
	if p.WindowUpdate != 0 {
		update = fmt.Sprint(p.WindowUpdate)
	}
	var priorities []string
	for _, x := range p.Priorities {
		priorities = append(priorities, x.text())
	}
	if headers && p.Headers != nil {
		priorities = append(priorities, p.Headers.text())
	}
	if priorities == nil {
		priorities = []string{"0"}
	}
	var letters []string
	for _, name := range p.Pseudo {
		if name = strings.TrimPrefix(name, ":"); name != "" {
			letters = append(letters, name[:1])
		}
	}
	return settingsText(p.Settings) + "|" + update + "|" + strings.Join(priorities, ",") + "|" + strings.Join(letters, ",")
}

func settingsText(settings []Setting) string {
	words := make([]string, len(settings))
	for i, s := range settings {
		words[i] = fmt.Sprintf("%d:%d", s[0], s[1])
	}
	return strings.Join(words, ";")
}
