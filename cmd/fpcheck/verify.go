package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
	"github.com/guise-http/guise/session"
)

// A verdict is what verify found out about one profile.
type verdict struct {
	Profile     string   `json:"profile"`
	JA4         string   `json:"ja4,omitempty"`
	Akamai      string   `json:"akamai,omitempty"`
	Against     string   `json:"against"` // "capture chromium-156", or "its facts"
	Equal       int      `json:"equal"`
	Total       int      `json:"total"`
	Known       int      `json:"known,omitempty"` // differences listed in known_diffs.json, not in Total
	Result      string   `json:"result"`          // PASS, FAIL, or ERROR: could not tell
	Differences []string `json:"differences,omitempty"`
	Error       string   `json:"error,omitempty"`
}

func runVerify(ctx context.Context, c *cli, args []string) error {
	name := c.flags.String("p", "", "profile to verify; all if empty")
	file := c.flags.String("profile-file", "", "file of a profile to verify")
	target := c.flags.String("url", "", "an fpcheck serve to send to instead of one of our own")
	record := c.flags.String("record", "", "folder to write what arrived to, one conn-NNNN.json per connection")
	against := c.flags.String("capture", "", "capture, or folder of captures, to hold it against instead of those the profile names")
	if _, err := c.parse(args, 0, 0); err != nil {
		return err
	}
	profiles, err := toVerify(*name, *file)
	if err != nil {
		return err
	}
	v := &verifier{against: *against, url: *target, record: *record}
	if v.ca, err = observe.NewCA(); err != nil {
		return err
	}
	verdicts := v.all(ctx, profiles)
	if ctx.Err() != nil {
		return context.Cause(ctx) // half a table would look like a whole one
	}
	if err := c.print(verdicts, func(b *bytes.Buffer) { printVerdicts(b, verdicts) }); err != nil {
		return err
	}
	return judge(verdicts)
}

// toVerify are the profiles that the flags name: every embedded one without them.
func toVerify(name, file string) ([]*fingerprints.Profile, error) {
	switch {
	case name != "" && file != "":
		return nil, usagef("leave one of them out", "-p and --profile-file exclude each other")
	case file != "":
		p, err := profileFile(file)
		return []*fingerprints.Profile{p}, err
	case name != "":
		p, err := fingerprints.Lookup(name)
		return []*fingerprints.Profile{p}, err
	}
	var list []*fingerprints.Profile
	for _, name := range fingerprints.Names() {
		p, err := fingerprints.Lookup(name)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func printVerdicts(b *bytes.Buffer, verdicts []verdict) {
	rows := [][]string{{"PROFILE", "JA4", "AKAMAI", "AGAINST", "CHECKS", "RESULT"}}
	for _, v := range verdicts {
		rows = append(rows, []string{v.Profile, v.JA4, v.Akamai, v.Against, fmt.Sprintf("%d/%d", v.Equal, v.Total), v.Result})
	}
	table(b, rows)
	for _, v := range verdicts {
		if v.Error == "" && len(v.Differences) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n%s:\n", v.Profile)
		if v.Error != "" {
			fmt.Fprintf(b, "  could not tell: %s\n", plain(v.Error))
		}
		for _, d := range v.Differences {
			fmt.Fprintf(b, "  %s\n", plain(d))
		}
	}
}

// judge makes the exit status: 2 if anything could not be told, else 1 if
// anything differs.
func judge(verdicts []verdict) error {
	var result error
	for _, v := range verdicts {
		switch v.Result {
		case "ERROR":
			return fmt.Errorf("%s: %s", v.Profile, v.Error)
		case "FAIL":
			result = errDifferent
		}
	}
	return result
}

// A verifier sends as profiles and looks at what arrives.
type verifier struct {
	ca      *observe.CA
	against string // a capture, or a folder of some, instead of the profile's own
	url     string // a server instead of our own
	record  string // folder for what arrived; "" = nowhere
}

// all verifies profiles side by side, and gives the verdicts in their order.
func (v *verifier) all(ctx context.Context, profiles []*fingerprints.Profile) []verdict {
	verdicts := make([]verdict, len(profiles))
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))
	for i, p := range profiles {
		slots <- struct{}{}
		wg.Go(func() {
			verdicts[i] = v.one(ctx, p)
			<-slots
		})
	}
	wg.Wait()
	return verdicts
}

// profileTimeout bounds the work on one profile.
const profileTimeout = 60 * time.Second

func (v *verifier) one(ctx context.Context, p *fingerprints.Profile) verdict {
	ctx, cancel := context.WithTimeout(ctx, profileTimeout)
	defer cancel()
	d := verdict{Profile: p.FullName(), Against: "its facts"}
	captures, err := v.captures(p)
	r := &fingerprints.Report{}
	switch {
	case err != nil:
	case v.url != "":
		err = v.remote(ctx, p, r, &d)
	case len(captures) == 0:
		err = v.facts(ctx, p, r, &d)
	default:
		var names []string
		for _, c := range captures {
			names = append(names, c.Provenance.Name)
			if err = errors.Join(err, v.capture(ctx, p, c, r, &d)); err != nil {
				break
			}
		}
		d.Against = "capture " + strings.Join(names, ", ")
	}
	d.Equal, d.Total, d.Differences = r.Equal, r.Total, r.Differences
	switch {
	case err != nil:
		d.Result, d.Error = "ERROR", err.Error()
	case r.Equal == r.Total && r.Total > 0:
		d.Result = "PASS"
	default:
		d.Result = "FAIL"
	}
	return d
}

// captures are those that the profile was read off, the same page before a
// server with other settings, and no -cadence, whose downloads take their time.
func (v *verifier) captures(p *fingerprints.Profile) ([]*observe.Capture, error) {
	if v.against != "" {
		return readCaptures([]string{v.against})
	}
	var names []string
	for _, s := range p.Sources {
		for _, name := range []string{s.Name, s.Name + "-no7540"} {
			if s.Kind == "capture" && !strings.HasSuffix(name, "-cadence") && hasCapture(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	var list []*observe.Capture
	for _, name := range names {
		c, err := embeddedCapture(name)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// capture plays a capture's replay as p and compares.
func (v *verifier) capture(ctx context.Context, p *fingerprints.Profile, c *observe.Capture, r *fingerprints.Report, d *verdict) error {
	replay, err := replayOf(c)
	if err != nil {
		return err
	}
	p = builtAs(p, c)
	st, cues := newStage(replay)
	opts := st.options(observe.Options{CA: v.ca, Settings: replay.Server.Settings})
	if replay.Server.HTTP1 {
		opts.ALPN = []string{"http/1.1"}
	}
	o := session.Options{Locale: replay.Browser.Languages, CheckRedirect: holdRedirect, LookupNetIP: replay.Server.lookup,
		ThirdPartyCookies: map[string]session.ThirdPartyCookies{"allowed": session.ThirdPartiesAllowed, "withheld": session.ThirdPartiesWithheld}[replay.Browser.ThirdPartyCookies]}
	list, err := v.observe(ctx, p, c.Provenance.Name, opts, o, func(ctx context.Context, s *session.Session, extra func() error) error {
		if err := play(ctx, s, replay, st, cues); err != nil || replay.Server.HTTP1 {
			return err
		}
		return extra()
	})
	if err != nil {
		return err
	}
	one, err := observe.Compare(c.Conns, list, observe.CompareOptions{Expect: expectation(p, c), Unwatched: !isOurs(c)})
	if err != nil {
		return err
	}
	d.Known += dropKnown(c, one)
	r.Add(c.Provenance.Name+": ", one)
	d.describe(list)
	return nil
}

// freshConnections is how many more connections are made for what is drawn at
// random: enough for observe.Compare to judge it.
const freshConnections = 6

// observe runs an observer and a session of p against it, and returns what
// arrived once every connection has ended.
func (v *verifier) observe(ctx context.Context, p *fingerprints.Profile, what string, opts observe.Options, o session.Options, visit func(context.Context, *session.Session, func() error) error) ([]*observe.Transcript, error) {
	if v.record != "" && what != "" && !filepath.IsLocal(what) {
		return nil, fmt.Errorf("a capture called %q would be recorded outside of the folder", what)
	}
	srv, err := observe.Start(opts)
	if err != nil {
		return nil, err
	}
	defer srv.Close()
	open := func() (*session.Session, error) {
		o.CustomProfile, o.RootCAs = p, v.ca.Pool()
		o.DialContext = addressed(srv.DialContext)
		o.Locale, o.DrainTimeout = cmp.Or(o.Locale, localeOf(p)), 5*time.Second
		return session.New(&o)
	}
	extra := func() error {
		for range freshConnections {
			s, err := open()
			if err != nil {
				return err
			}
			res, err := s.Get(ctx, "https://www.truth.test/done")
			if err == nil {
				res.Body.Close()
			}
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
		}
		return nil
	}
	s, err := open()
	if err != nil {
		return nil, err
	}
	err = visit(ctx, s, extra)
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	if err := srv.Wait(ctx); err != nil {
		return nil, err
	}
	list := srv.Transcripts()
	if v.record != "" {
		return list, (&observe.Capture{Conns: list}).WriteOriginal(filepath.Join(v.record, p.FullName(), what))
	}
	return list, nil
}

// localeOf is what the captured browsers of a profile were set to.
func localeOf(p *fingerprints.Profile) string {
	if p.Headers.AcceptLanguage.Verbatim {
		return "en-US,en"
	}
	return "en-US"
}

// describe takes the strings of the first HTTP/2 connection, or of the first.
func (d *verdict) describe(list []*observe.Transcript) {
	if d.JA4 != "" || len(list) == 0 {
		return
	}
	t := list[0]
	if i := slices.IndexFunc(list, (*observe.Transcript).Asked); i >= 0 {
		t = list[i]
		p := t.Preface()
		d.Akamai = p.Akamai()
	}
	if h, err := t.Hello(); err == nil {
		d.JA4 = h.JA4()
	}
}
