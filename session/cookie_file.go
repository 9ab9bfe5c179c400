package session

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// maxCookieFile bounds what ReadJSON and ReadNetscape take in.
const maxCookieFile = 64 << 20

// ErrCookieFile is the error of a file of cookies that cannot be read.
var ErrCookieFile = errors.New("session: bad cookie file")

// A cookieFile is the JSON form of a jar.
type cookieFile struct {
	Schema  int      `json:"schema"`
	Cookies []Cookie `json:"cookies"`
}

// WriteJSON writes every cookie that has not expired, session cookies too.
// What it writes lets anyone be the user: keep it as SaveFile does, mode 0600.
func (j *CookieJar) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(cookieFile{Schema: 1, Cookies: j.All()})
}

// ReadJSON adds the cookies that WriteJSON wrote; if one is not such as a
// server could have set, none.
func (j *CookieJar) ReadJSON(r io.Reader) error {
	dec := json.NewDecoder(io.LimitReader(r, maxCookieFile))
	dec.DisallowUnknownFields()
	var f cookieFile
	if err := dec.Decode(&f); err != nil {
		return fmt.Errorf("%w: %w", ErrCookieFile, err)
	}
	if f.Schema != 1 {
		return fmt.Errorf("%w: schema %d", ErrCookieFile, f.Schema)
	}
	return j.add(f.Cookies)
}

// WriteNetscape writes the cookies as curl and wget read them (cookies.txt).
// SameSite has no place in that format, and partitioned cookies are left out.
// What it writes lets anyone be the user: keep it in a file of mode 0600.
func (j *CookieJar) WriteNetscape(w io.Writer) error {
	bw := bufio.NewWriter(w)
	fmt.Fprintln(bw, "# Netscape HTTP Cookie File")
	for _, c := range j.All() {
		if c.Partition != "" || strings.Contains(c.Name+c.Value+c.Path, "\t") {
			continue
		}
		domain, prefix, expires := c.Domain, "", int64(0)
		if !c.HostOnly {
			domain = "." + domain
		}
		if c.HTTPOnly {
			prefix = "#HttpOnly_"
		}
		if !c.Expires.IsZero() {
			expires = c.Expires.Unix()
		}
		fmt.Fprintf(bw, "%s%s\t%s\t%s\t%s\t%d\t%s\t%s\n", prefix, domain, netscapeBool(!c.HostOnly), c.Path,
			netscapeBool(c.Secure), expires, c.Name, c.Value)
	}
	return bw.Flush()
}

func netscapeBool(b bool) string { return strings.ToUpper(strconv.FormatBool(b)) }

// ReadNetscape adds the cookies of a cookies.txt; if one is not such as a
// server could have set, none.
func (j *CookieJar) ReadNetscape(r io.Reader) error {
	sc := bufio.NewScanner(io.LimitReader(r, maxCookieFile))
	sc.Buffer(nil, 64<<10)
	var list []Cookie
	for n := 1; sc.Scan(); n++ {
		line, httpOnly := strings.CutPrefix(sc.Text(), "#HttpOnly_")
		if strings.TrimSpace(line) == "" || !httpOnly && strings.HasPrefix(line, "#") {
			continue
		}
		c, err := parseNetscape(line)
		if err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrCookieFile, n, err)
		}
		c.HTTPOnly = httpOnly
		list = append(list, c)
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrCookieFile, err)
	}
	return j.add(list)
}

func parseNetscape(line string) (c Cookie, err error) {
	f := strings.Split(line, "\t")
	if len(f) != 7 {
		return c, fmt.Errorf("%d fields, not 7", len(f))
	}
	expires, err := strconv.ParseInt(f[4], 10, 64)
	if err != nil {
		return c, errors.New("expiry is no number")
	}
	domain, dotted := strings.CutPrefix(f[0], ".")
	c = Cookie{Name: f[5], Value: f[6], Domain: asciiHost(domain), HostOnly: !dotted && !strings.EqualFold(f[1], "TRUE"),
		Path: f[2], Secure: strings.EqualFold(f[3], "TRUE"), SameSite: http.SameSiteDefaultMode, Created: time.Now()}
	if expires > 0 {
		c.Expires = time.Unix(expires, 0)
	}
	return c, nil
}

// add stores cookies from a file, all or none.
func (j *CookieJar) add(list []Cookie) error {
	now := time.Now()
	for i := range list {
		if err := list[i].check(now); err != nil {
			return fmt.Errorf("%w: cookie %d: %w", ErrCookieFile, i, err)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range list {
		c := list[i]
		j.putLocked(&c, true, now)
	}
	return nil
}

// check holds a cookie from a file to the rules that one from a server meets.
func (c *Cookie) check(now time.Time) error {
	switch {
	case c.Domain == "" || c.Domain != asciiHost(c.Domain) || checkHost(c.Domain) != nil || strings.ContainsFunc(c.Domain, isCookieControl):
		return errors.New("bad domain")
	case !strings.HasPrefix(c.Path, "/") || strings.ContainsFunc(c.Path, isCookieControl):
		return errors.New("bad path")
	case strings.ContainsFunc(c.Name+c.Value, isCookieControl) || strings.ContainsAny(c.Name, ";=") || strings.Contains(c.Value, ";"):
		return errors.New("bad name or value")
	case len(c.Name)+len(c.Value) > maxCookieBytes || c.Name == "" && c.Value == "":
		return errors.New("bad length")
	case c.SameSite < 0 || c.SameSite > http.SameSiteNoneMode:
		return errors.New("bad SameSite")
	case !c.Secure && (c.SameSite == http.SameSiteNoneMode || c.Partitioned):
		return errors.New("not secure")
	case !c.checkPrefix():
		return errors.New("does not keep what its prefix promises")
	}
	if !c.HostOnly {
		bare := strings.TrimSuffix(c.Domain, ".")
		if suffix, _ := publicsuffix.PublicSuffix(bare); suffix == bare || isAddress(c.Domain) {
			return errors.New("domain is a public suffix")
		}
	}
	if c.SameSite == 0 {
		c.SameSite = http.SameSiteDefaultMode // the file says nothing
	}
	if c.Created.IsZero() || c.Created.After(now) {
		c.Created = now
	}
	if c.Expires.After(now.Add(maxCookieAge)) {
		c.Expires = now.Add(maxCookieAge)
	}
	return nil
}

// SaveFile writes the jar as JSON to a file that only its owner can read, in
// place of what was there.
func (j *CookieJar) SaveFile(name string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".cookies-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(j.WriteJSON(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// LoadFile adds the cookies that SaveFile wrote.
func (j *CookieJar) LoadFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return j.ReadJSON(f)
}
