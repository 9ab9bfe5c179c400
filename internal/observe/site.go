package observe

import (
	"encoding/base64"
	"strconv"
	"strings"

	_ "embed" // the pages
)

// The pages make a browser send what a capture needs: navPage the requests of
// an ordinary visit, everythingPage one of each kind a browser knows,
// cadencePage downloads, silence and an upload.
var (
	//go:embed pages/nav.html
	navPage []byte
	//go:embed pages/everything.html
	everythingPage []byte
	//go:embed pages/multipart.html
	multipartPage []byte
	//go:embed pages/cadence.html
	cadencePage []byte
)

var pixel, _ = base64.StdEncoding.DecodeString("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

// Site answers as the captures' server did, so that a client that asks the
// same is led the same way: its cookies, redirects, CORS answers and GOAWAY.
func Site(r *Request) *Response {
	path, query, _ := strings.Cut(r.Path, "?")
	noStore := [2]string{"cache-control", "no-store"}
	switch {
	case path == "/" || path == "/nav":
		return html(navPage, cookie("sid=abc123", ""), cookie("theme=dark", ""), cookie("long="+strings.Repeat("x", 40), ""), noStore)
	case path == "/nav-ch":
		return html(navPage, [2]string{"accept-ch", "Sec-CH-UA-Full-Version-List, Sec-CH-UA-Arch"}, noStore)
	case path == "/everything":
		return html(everythingPage, cookie("sid=abc123", ""), cookie("lax=1", "Lax"), cookie("strict=1", "Strict"), cookie("none=1", "None"),
			cookie("long="+strings.Repeat("y", 30), "None"), noStore)
	case path == "/cadence":
		return html(cadencePage, noStore)
	case path == "/k/multipart":
		return html(multipartPage)
	case strings.HasPrefix(path, "/k/"):
		return kind(r, path)
	case path == "/form-post":
		return &Response{Status: 303, Fields: [][2]string{{"location", "/done"}}}
	case path == "/done":
		return html([]byte("<title>done</title>done"))
	case path == "/redir":
		return &Response{Status: 302, Fields: append(openCORS(), [2]string{"location", strings.TrimPrefix(query, "to=")}, noStore)}
	case path == "/style.css":
		return typed("text/css", "body{color:#123;background:url(/bg.png)}")
	case path == "/script.js":
		return typed("text/javascript", "window.loaded=true")
	case path == "/frame.html":
		return html([]byte("<p>frame"))
	case path == "/big":
		size, _, _ := strings.Cut(strings.TrimPrefix(query, "n="), "&")
		n, err := strconv.Atoi(size)
		if err != nil || n < 0 || n > 1<<28 {
			return &Response{Status: 400}
		}
		return &Response{Fields: [][2]string{{"content-type", "application/octet-stream"}, noStore}, Fill: n}
	case strings.HasPrefix(path, "/api/"):
		return &Response{Fields: append(openCORS(), [2]string{"content-type", "application/json"}, noStore), Body: []byte(`{"ok":true}`)}
	case strings.HasSuffix(path, ".png"):
		return &Response{Fields: [][2]string{{"content-type", "image/gif"}}, Body: pixel}
	case path == "/goaway":
		return &Response{Fields: [][2]string{{"content-type", "text/plain"}, noStore}, Body: []byte("bye"), GoAway: true}
	}
	return &Response{Status: 404, Fields: [][2]string{{"content-type", "text/plain"}}, Body: []byte("nothing at " + path)}
}

// kind answers a request of the everything page: a body of the right type,
// with CORS headers that fit whether it came with credentials.
func kind(r *Request, path string) *Response {
	contentType := "application/json"
	for suffix, t := range map[string]string{".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".png": "image/png",
		".mp4": "video/mp4", ".mp3": "audio/mpeg", "eventsource": "text/event-stream"} {
		if strings.HasSuffix(path, suffix) {
			contentType = t
		}
	}
	fields := openCORS()
	if origin := r.Header("origin"); origin != "" && r.Header("cookie") != "" || strings.Contains(path, "include") {
		fields = [][2]string{{"access-control-allow-origin", origin}, {"access-control-allow-credentials", "true"},
			{"access-control-allow-headers", "content-type,x-a"}, {"access-control-allow-methods", "PUT,POST,GET"}}
	}
	return &Response{Fields: append(fields, [2]string{"content-type", contentType}, [2]string{"cache-control", "no-store"}), Body: []byte("1")}
}

func html(page []byte, fields ...[2]string) *Response {
	return &Response{Fields: append([][2]string{{"content-type", "text/html; charset=utf-8"}}, fields...), Body: page}
}

func typed(contentType, body string) *Response {
	return &Response{Fields: [][2]string{{"content-type", contentType}}, Body: []byte(body)}
}

func cookie(pair, sameSite string) [2]string {
	attributes := "; Path=/; Secure"
	if sameSite != "" {
		attributes += "; SameSite=" + sameSite
	}
	return [2]string{"set-cookie", pair + attributes}
}

func openCORS() [][2]string {
	return [][2]string{{"access-control-allow-origin", "*"}, {"access-control-allow-methods", "*"}, {"access-control-allow-headers", "*"}}
}
