package session

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"
)

// FormData is a form as multipart/form-data, with the boundary and the
// spelling of the Session's browser. Tab.SubmitBody sends it as a form does,
// Tab.Fetch as a script does.
type FormData struct {
	boundary string
	body     strings.Builder
}

// NewFormData returns an empty form.
func (s *Session) NewFormData() *FormData { return &FormData{boundary: s.habits.boundary()} }

// Append adds a field.
func (d *FormData) Append(name, value string) {
	d.head(name)
	d.body.WriteString("\r\n\r\n" + crlf(value) + "\r\n")
}

// AppendFile adds a file. An empty contentType is application/octet-stream.
func (d *FormData) AppendFile(name, filename, contentType string, content []byte) {
	if contentType == "" || strings.ContainsAny(contentType, "\r\n") {
		contentType = "application/octet-stream"
	}
	d.head(name)
	d.body.WriteString(`; filename="` + escapeFormName(filename) + "\"\r\nContent-Type: " + contentType + "\r\n\r\n")
	d.body.Write(content)
	d.body.WriteString("\r\n")
}

func (d *FormData) head(name string) {
	d.body.WriteString("--" + d.boundary + "\r\nContent-Disposition: form-data; name=\"" + escapeFormName(crlf(name)) + `"`)
}

// ContentType is the form's media type.
func (d *FormData) ContentType() string { return "multipart/form-data; boundary=" + d.boundary }

// Encode is the form's body.
func (d *FormData) Encode() string { return d.body.String() + "--" + d.boundary + "--\r\n" }

// escapeFormName keeps a name from ending its quotes or its line (HTML
// standard, "multipart/form-data encoding algorithm").
var escapeFormName = strings.NewReplacer("\n", "%0A", "\r", "%0D", `"`, "%22").Replace

// crlf makes every line end of a value CR LF, as that algorithm asks.
func crlf(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	return strings.ReplaceAll(s, "\n", "\r\n")
}

// boundary is a new one: testdata/captures/chromium-156-everything.json and
// firefox-153-everything, /k/multipart.
func (h *habits) boundary() string {
	if h.geckoForms {
		// Two numbers, without leading zeros: one boundary in eight is shorter.
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		first, second := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
		return "----geckoformboundary" + strconv.FormatUint(first, 16) + strconv.FormatUint(second, 16)
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AB"
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = letters[b[i]&63]
	}
	return "----WebKitFormBoundary" + string(b)
}
