package observe

import "slices"

// An imagePriority is what an image was asked for with: header field and weight.
type imagePriority struct {
	header string
	weight int
}

// imagePriorities are the values of Priority that the browser asked for images with. Which one
// an image gets is a matter of layout and of the moment (the same bg.png went
// with u=2, i, with i, and with i at u=1's weight: testdata/captures/chromium-133.json), so a
// client that does not know the layout may use any of them.
func imagePriorities(list []h2Request) map[string]bool {
	seen := map[string]bool{}
	for _, q := range list {
		if p, ok := q.imagePriority(); ok {
			seen[p.header] = true
		}
	}
	return seen
}

func (q *h2Request) imagePriority() (imagePriority, bool) {
	if q.frame.Value("sec-fetch-dest") != "image" {
		return imagePriority{}, false
	}
	p := imagePriority{header: q.frame.Value("priority")}
	if q.frame.Priority != nil {
		p.weight = q.frame.Priority.Weight
	}
	return p, true
}

// laidOutAs returns the browser's request with the priority of c, if both are
// for an image and the browser gave other images that one, or this one the
// weight behind another field.
func (q h2Request) laidOutAs(c h2Request, opts *CompareOptions) h2Request {
	was, ok := q.imagePriority()
	is, ok2 := c.imagePriority()
	if !opts.Unwatched || !ok || !ok2 || was == is || !opts.images[is.header] && was.weight != is.weight || (q.frame.Priority == nil) != (c.frame.Priority == nil) {
		return q
	}
	f := *q.frame
	if f.Priority != nil {
		p := *f.Priority
		p.Weight = is.weight
		f.Priority = &p
	}
	if was.header != is.header {
		opts.relaid = append(opts.relaid, q.history)
		f.Fields = slices.DeleteFunc(slices.Clone(f.Fields), func(x Field) bool { return x.Name == "priority" })
		// Where the priority is the default one, Firefox sends no field.
		if i := slices.IndexFunc(c.frame.Fields, func(x Field) bool { return x.Name == "priority" }); i >= 0 && i <= len(f.Fields) {
			f.Fields = slices.Insert(f.Fields, i, c.frame.Fields[i])
		}
	}
	q.frame = &f
	return q
}
