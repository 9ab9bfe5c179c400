package observe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// comparePrefaces compares how an HTTP/2 connection begins: the first of each with a request.
func comparePrefaces(r *fingerprints.Report, browser, client []*Transcript) {
	first := func(list []*Transcript) *Transcript {
		if i := slices.IndexFunc(list, (*Transcript).Asked); i >= 0 {
			return list[i]
		}
		return nil
	}
	b, c := first(browser), first(client)
	if b == nil {
		return
	}
	if c == nil {
		r.Check(false, "no connection of the client speaks HTTP/2")
		return
	}
	want, got := b.Preface(), c.Preface()
	r.Add("", fingerprints.Diff(fingerprints.Look{Preface: &want}, fingerprints.Look{Preface: &got}, fingerprints.DiffOptions{}))
	record := func(t *Transcript) int {
		if len(t.Records) == 0 {
			return 0
		}
		return t.Records[0]
	}
	r.Check(record(c) == record(b), "the first TLS record carries %d bytes, the browser's %d", record(c), record(b))
	r.Check(opening(c) == opening(b), "the connection opens with %s, the browser with %s", opening(c), opening(b))
}

// opening writes the frames up to and with the first request, and which of
// them share a TLS record: "SETTINGS+WINDOW_UPDATE HEADERS". The answer to the
// server's SETTINGS comes when that does, so it is left out, but it must not
// be in another frame's record where the browser's is not.
func opening(t *Transcript) string {
	var b strings.Builder
	last, requested := -1, false
	for _, f := range t.Frames {
		if requested && (f.Record != last || f.Type == "HEADERS") {
			break
		}
		if f.Type == "SETTINGS" && f.hasFlag(flagAck) && f.Record != last {
			continue
		}
		switch {
		case f.Record == last:
			b.WriteByte('+')
		case last >= 0:
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s(%d)", f.Type, f.Stream)
		last, requested = f.Record, requested || f.Type == "HEADERS"
	}
	return b.String()
}

// An h2Request is one request with what stands around it.
type h2Request struct {
	at      time.Time
	conn    int    // which connection it travelled on
	key     string // "GET www.truth.test/nav"
	nth     int    // how many of the same key came before
	frame   *Frame
	first   bool   // on its connection
	acked   bool   // the server's SETTINGS were acknowledged before it
	moved   bool   // streams were given other places in the tree before it
	history string // keys of the connection up to it: HPACK state follows from them
	added   int    // bytes added to the HPACK table up to and with it (RFC 7541, section 4.1)
	update  string // the WINDOW_UPDATE on its stream right behind it
	shared  bool   // that stands in the same TLS record
	body    string // its DATA frames
	bytes   int    // in them
}

// requests lists the HTTP/2 requests in the order of time.
func requests(list []*Transcript) []h2Request {
	var all []h2Request
	count := map[string]int{}
	for n, t := range list {
		history, first, acked, moved, added := "", true, false, false, 0
		for i, f := range t.Frames {
			acked = acked || f.Type == "SETTINGS" && f.hasFlag(flagAck)
			moved = moved || f.Type == "PRIORITY" && !first
			if f.Type != "HEADERS" || f.Value(":method") == "" {
				continue
			}
			q := h2Request{conn: n, at: t.Start.Add(time.Duration(f.Millis * float64(time.Millisecond))), frame: f, first: first, acked: acked, moved: moved, key: f.Value(":method") + " " + f.Value(":authority") + f.Value(":path")}
			history += q.key + "\n"
			for _, x := range f.Fields {
				if x.Rep == "incremental" {
					added += len(x.Name) + len(x.Value) + 32
				}
			}
			q.history, q.added, first = history, added, false
			if i+1 < len(t.Frames) {
				if g := t.Frames[i+1]; g.Type == "WINDOW_UPDATE" && g.Stream == f.Stream {
					q.update, q.shared = fmt.Sprint(g.Increment), g.Record == f.Record
				}
			}
			q.body, q.bytes = dataFrames(t.Frames[i+1:], f.Stream)
			all = append(all, q)
		}
	}
	slices.SortStableFunc(all, func(a, b h2Request) int { return a.at.Compare(b.at) })
	for i := range all {
		all[i].nth = count[all[i].key]
		count[all[i].key]++
	}
	return all
}

// tableUpdates lists the different size updates of the blocks that are the
// first behind an acknowledgement of SETTINGS, and of all others: the update
// belongs to the SETTINGS, whenever they come.
func tableUpdates(list []*Transcript) (behind, others string) {
	var sets [2][]string
	for _, t := range list {
		due := false
		for _, f := range t.Frames {
			switch {
			case f.Type == "SETTINGS" && f.hasFlag(flagAck):
				due = true
			case f.Type == "HEADERS" && f.Fields != nil:
				which := 1
				if due {
					which, due = 0, false
				}
				if text := fmt.Sprint(f.TableUpdates); !slices.Contains(sets[which], text) {
					sets[which] = append(sets[which], text)
				}
			}
		}
	}
	return strings.Join(sets[0], " or "), strings.Join(sets[1], " or ")
}

// dataFrames writes length and flags of the DATA frames of a stream, equal
// ones in a row as one.
func dataFrames(frames []*Frame, stream uint32) (text string, total int) {
	var runs []string
	last, n := "", 0
	flush := func() {
		if n > 0 {
			runs = append(runs, fmt.Sprintf("%s x%d", last, n))
		}
	}
	for _, f := range frames {
		if f.Type != "DATA" || f.Stream != stream {
			continue
		}
		total += int(f.Len)
		if word := fmt.Sprintf("%d/%s", f.Len, f.Flags); word != last {
			flush()
			last, n = word, 0
		}
		n++
	}
	flush()
	return strings.Join(runs, " "), total
}

// compareRequests compares every request that both made, the n-th of a key
// with the n-th.
func compareRequests(r *fingerprints.Report, browser, client []*Transcript, opts *CompareOptions) {
	type id struct {
		key string
		nth int
	}
	sent := map[id]h2Request{}
	for _, q := range requests(client) {
		sent[id{q.key, q.nth}] = q
	}
	wanted := requests(browser)
	opts.images = imagePriorities(wanted)
	// Chromium makes each stream depend on one that is still open, which is a
	// matter of when the server answers, and the same only where all requests
	// are; where a browser never does, nobody may.
	flat := !slices.ContainsFunc(wanted, func(q h2Request) bool { return q.frame.Priority != nil && q.frame.Priority.Dep != 0 })
	common := 0
	travel := &journeys{browser: browser, client: client}
	for _, b := range wanted {
		c, ok := sent[id{b.key, b.nth}]
		if ok {
			common++
			compareRequest(r, b, c, flat, opts)
			travel.note(b, c)
		} else if !opts.Partial {
			r.Check(false, "%s: the client never sent it", b.key)
		}
	}
	travel.compare(r, opts)
	common += compareH1(r, browser, client, opts)
	if common == 0 {
		r.Check(false, "the client sent no request that the browser sent")
	}
	steps := true
	for _, t := range client {
		last := uint32(0)
		for _, f := range t.Frames {
			if f.Type == "HEADERS" && f.Value(":method") != "" {
				steps = steps && (last == 0 || f.Stream == last+2)
				last = f.Stream
			}
		}
	}
	behind, others := tableUpdates(browser)
	if x, y := tableUpdates(client); x != "" && behind != "" {
		r.Check(x == behind, "the first header block behind the server's SETTINGS begins with table size updates %s, the browser's with %s", x, behind)
		r.Check(y == others || y == "" || others == "", "other header blocks begin with table size updates %s, the browser's with %s", y, others)
	}
	if len(wanted) > 0 {
		r.Check(steps, "stream identifiers do not go up in steps of two")
	}
}

func compareRequest(r *fingerprints.Report, b, c h2Request, flat bool, opts *CompareOptions) {
	w := b.key + ": "
	b = b.laidOutAs(c, opts)
	changed := compareFields(r, w, b.frame.Fields, c.frame.Fields, opts)
	// With the same requests before it on its connection HPACK has the same
	// tables, and every index has to be the browser's; else its table may have
	// held a field that the other's did not.
	same := b.history == c.history && !slices.ContainsFunc(opts.relaid, func(h string) bool { return strings.HasPrefix(b.history, h) })
	// Values of another length push others out of the table, or do not.
	same = same && (opts.Expect == nil || max(b.added, c.added) <= 4096)
	x, y := forms(b.frame.Fields, changed, same), forms(c.frame.Fields, changed, same)
	r.Check(slices.Equal(x, y), "%sthe HPACK forms differ: %s", w, firstDifference(x, y))
	if same && (b.first || len(changed) == 0 && opts.Expect == nil) {
		x, y := indexes(b.frame.Fields), indexes(c.frame.Fields)
		r.Check(slices.Equal(x, y), "%sthe HPACK indexes differ: %s", w, firstDifference(x, y))
		// A size update is due when the server's SETTINGS come, which is a matter of timing.
		if len(changed) == 0 && equalFields(b.frame.Fields, c.frame.Fields) && len(b.frame.TableUpdates) == len(c.frame.TableUpdates) {
			r.Check(b.frame.Payload == c.frame.Payload, "%sthe header block differs in its bytes", w)
		}
	}
	r.Check(c.frame.Flags == b.frame.Flags, "%sHEADERS has the flags %s, the browser's %s", w, c.frame.Flags, b.frame.Flags)
	first := b.first && c.first
	dep := flat || first || same && b.acked == c.acked
	if opts.Unwatched && b.moved { // by PRIORITY frames, which the layout makes Chromium send
		dep = false
	}
	place, got := treePlace(b, dep), treePlace(c, dep)
	r.Check(place == got, "%sthe priority is %s, the browser sends %s", w, got, place)
	r.Check(b.update == c.update, "%sthe stream's WINDOW_UPDATE behind HEADERS is %s, the browser's %s", w, orNone(c.update), orNone(b.update))
	if b.update != "" && c.update != "" {
		r.Check(b.shared == c.shared, "%swhether its WINDOW_UPDATE shares the record of HEADERS is %t, in the browser %t", w, c.shared, b.shared)
	}
	if b.bytes == c.bytes && b.bytes > 0 {
		r.Check(b.body == c.body, "%sthe body leaves as DATA %s, the browser's as %s", w, c.body, b.body)
	}
	if first {
		r.Check(b.frame.Stream == c.frame.Stream, "%sthe first stream is %d, the browser's %d", w, c.frame.Stream, b.frame.Stream)
		if b.acked == c.acked {
			r.Check(slices.Equal(b.frame.TableUpdates, c.frame.TableUpdates), "%sthe header block begins with table size updates %v, the browser's with %v", w, c.frame.TableUpdates, b.frame.TableUpdates)
		}
	}
}

// compareFields compares a header list, names, order and values, and returns
// the places where the browser's value is not the one expected of the client.
func compareFields(r *fingerprints.Report, w string, b, c []Field, opts *CompareOptions) map[int]bool {
	changed := map[int]bool{}
	names := func(fields []Field) (list []string) {
		for _, x := range fields {
			list = append(list, x.Name)
		}
		return list
	}
	x, y := names(b), names(c)
	r.Check(slices.Equal(x, y), "%s%s", w, listDifference(x, y))
	for i, f := range b {
		want := opts.expect(f.Name, f.Value)
		if want != f.Value {
			changed[i] = true
		}
		if slices.Equal(x, y) {
			same := c[i].Value == want || isRandom(f.Name, want, c[i].Value) || f.Name == "content-length" && drawnLength(b, c, want, c[i].Value)
			r.Check(same, "%s%s is %q, the browser sends %q", w, f.Name, c[i].Value, want)
		}
	}
	return changed
}

// isRandom reports whether two values differ only in what a browser draws: the
// boundary of a multipart form, which is a number without leading zeros in
// Firefox.
func isRandom(name, b, c string) bool {
	const boundary, gecko = "multipart/form-data; boundary=----", "multipart/form-data; boundary=----geckoformboundary"
	return name == "content-type" && strings.HasPrefix(b, boundary) && strings.HasPrefix(c, boundary) &&
		(len(b) == len(c) || strings.HasPrefix(b, gecko) && strings.HasPrefix(c, gecko) && max(len(b), len(c))-min(len(b), len(c)) < 4)
}

// drawnLength reports whether two lengths of a body differ by the boundaries in it.
func drawnLength(b, c []Field, want, got string) bool {
	value := func(fields []Field) string {
		i := slices.IndexFunc(fields, func(x Field) bool { return x.Name == "content-type" })
		if i < 0 {
			return ""
		}
		return fields[i].Value
	}
	x, y := value(b), value(c)
	m, err1 := strconv.Atoi(want)
	n, err2 := strconv.Atoi(got)
	return err1 == nil && err2 == nil && isRandom("content-type", x, y) && len(x) != len(y) &&
		(m-n)%(len(x)-len(y)) == 0 && (m-n)/(len(x)-len(y)) >= 2
}

// treePlace writes a priority; what it depends on only where that is no matter
// of timing.
func treePlace(q h2Request, dep bool) string {
	p := q.frame.Priority
	if p == nil {
		return "absent"
	}
	text := fmt.Sprintf("weight %d", p.Weight)
	if p.Exclusive {
		text += ", exclusive"
	}
	if dep {
		text += fmt.Sprintf(", below stream %d", p.Dep)
	}
	return text
}

// forms writes how HPACK represents each field. Without the same tables only
// whether it may be indexed is compared.
func forms(fields []Field, changed map[int]bool, same bool) (words []string) {
	for i, x := range fields {
		word := x.Name + " " + x.Rep
		switch {
		case !same && (x.Rep == "indexed" || x.Rep == "incremental"):
			word = x.Name + " indexable"
		case !changed[i]:
			word += coding(x)
		}
		words = append(words, word)
	}
	return words
}

func indexes(fields []Field) (words []string) {
	for _, x := range fields {
		words = append(words, fmt.Sprintf("%s index %d", x.Name, x.NameIndex))
	}
	return words
}

func equalFields(a, b []Field) bool {
	return slices.EqualFunc(a, b, func(x, y Field) bool { return x.Name == y.Name && x.Value == y.Value })
}

func coding(x Field) string {
	return " " + map[bool]string{true: "H", false: "-"}[x.HuffName] + map[bool]string{true: "H", false: "-"}[x.HuffValue]
}

func orNone(s string) string {
	if s == "" {
		return "absent"
	}
	return s
}

// firstDifference names the first word that differs.
func firstDifference(want, got []string) string {
	at := func(words []string, i int) string {
		if i < len(words) {
			return words[i]
		}
		return "nothing"
	}
	for i := range max(len(want), len(got)) {
		if at(want, i) != at(got, i) {
			return fmt.Sprintf("%s, the browser sends %s", at(got, i), at(want, i))
		}
	}
	return ""
}

// listDifference says how two lists of names differ.
func listDifference(want, got []string) string {
	var missing, more []string
	for _, n := range want {
		if !slices.Contains(got, n) {
			missing = append(missing, n)
		}
	}
	for _, n := range got {
		if !slices.Contains(want, n) {
			more = append(more, n)
		}
	}
	var parts []string
	if missing != nil {
		parts = append(parts, strings.Join(missing, ", ")+" is missing")
	}
	if more != nil {
		parts = append(parts, strings.Join(more, ", ")+" is sent, the browser does not send it")
	}
	if parts == nil {
		parts = append(parts, fmt.Sprintf("the fields stand in the order %s, the browser's in %s", strings.Join(got, " "), strings.Join(want, " ")))
	}
	return strings.Join(parts, "; ")
}
