package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/textproto"
	"strconv"

	"golang.org/x/net/http2/hpack"
)

// floorAPI is floor with what Go's API has every client hand out: an
// http.Request with a parsed URL goes in, an http.Response with its header in
// a map and a body to read comes out. It checks nothing, keeps no state and
// has no errors of its own; nobody with this API can be cheaper.
type floorAPI struct {
	floor
	dec    *hpack.Decoder // owned by the reader, as are the next two
	fields []hpack.HeaderField
	open   map[uint32]*response
	done   map[uint32]*http.Response // guarded by mu
}

type response struct {
	http.Response
	data []byte
}

func newFloorAPI() (client, error) {
	f := &floorAPI{floor: floor{next: 1, wait: map[uint32]chan error{}, head: map[string][]byte{}},
		open: map[uint32]*response{}, done: map[uint32]*http.Response{}}
	f.dec = hpack.NewDecoder(4096, func(x hpack.HeaderField) { f.fields = append(f.fields, x) })
	f.floor.frame = f.frame
	return f, nil
}

// frame takes a HEADERS or DATA frame of the server's.
func (f *floorAPI) frame(typ, flags byte, id uint32, p []byte) {
	if typ == 1 {
		f.fields = f.fields[:0]
		f.dec.Write(p)
		r := &response{Response: http.Response{Proto: "HTTP/2.0", ProtoMajor: 2, Header: make(http.Header, len(f.fields)), ContentLength: -1}}
		values := make([]string, len(f.fields))
		for i, x := range f.fields {
			switch x.Name {
			case ":status":
				r.Status = x.Value
				r.StatusCode, _ = strconv.Atoi(x.Value)
				continue
			case "content-length":
				r.ContentLength, _ = strconv.ParseInt(x.Value, 10, 64)
			}
			values[i] = x.Value
			r.Header[textproto.CanonicalMIMEHeaderKey(x.Name)] = values[i : i+1 : i+1]
		}
		f.open[id] = r
	} else {
		r := f.open[id]
		r.data = append(r.data, p...)
	}
	if flags&1 != 0 {
		r := f.open[id]
		delete(f.open, id)
		r.Body = io.NopCloser(bytes.NewReader(r.data))
		f.mu.Lock()
		f.done[id] = &r.Response
		f.mu.Unlock()
	}
}

func (f *floorAPI) get(raw string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, raw, nil)
	if err != nil {
		return err
	}
	id, err := f.send(raw, req.URL.Host, req.URL.Path)
	if err != nil {
		return err
	}
	f.mu.Lock()
	resp := f.done[id]
	delete(f.done, id)
	f.mu.Unlock()
	resp.Request = req
	return drain(resp.StatusCode, resp.Body)
}
