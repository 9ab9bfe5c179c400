package testutil

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// T17. Advisories of the standard library and of x/net that reach us through
// them are govulncheck's to find. It does not see that uTLS is a copy of
// crypto/tls, of the time of Go 1.24, which follows by hand: testdata/advisories.json
// says of each one since then what it is to us.
type advisory struct {
	ID    string   `json:"id"`
	CVE   string   `json:"cve"`
	What  string   `json:"what"`
	Reach string   `json:"reach"` // why it does not concern a client like ours; "" = it would
	Tests []string `json:"tests"` // that show that it does not hold here
}

func readAdvisories(t *testing.T) []advisory {
	t.Helper()
	b, err := os.ReadFile("../../testdata/advisories.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []advisory
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// No row without an answer, and no answer without a test or a reason.
func TestAdvisories(t *testing.T) {
	var code strings.Builder
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := fs.ReadFile(root, path)
		code.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range readAdvisories(t) {
		if a.ID == "" || a.CVE == "" || a.What == "" || a.Reach == "" && len(a.Tests) == 0 {
			t.Errorf("%s: not known what it is to us", a.ID)
		}
		for _, name := range a.Tests {
			if !strings.Contains(code.String(), "func "+name+"(") {
				t.Errorf("%s: no test is called %s", a.ID, name)
			}
		}
	}
}

// With GUISE_VULNDB=https://vuln.go.dev, as .ci/run has it where that can be
// reached: an advisory that the list does not have is an error.
func TestAdvisoriesAreComplete(t *testing.T) {
	base := os.Getenv("GUISE_VULNDB")
	if base == "" {
		t.Skip("GUISE_VULNDB is not set")
	}
	ids, err := concerning(base)
	if err != nil {
		t.Fatal(err)
	}
	if len(ids) == 0 {
		t.Error("no advisory at all: that was no test")
	}
	list := readAdvisories(t)
	for _, id := range ids {
		if !slices.ContainsFunc(list, func(a advisory) bool { return a.ID == id }) {
			t.Errorf("%s is not in testdata/advisories.json", id)
		}
	}
}

// concerning are the advisories of a Go vulnerability database, from 2025 on,
// about crypto/tls or uTLS (https://go.dev/doc/security/vuln/database).
func concerning(base string) (ids []string, err error) {
	var modules []struct {
		Path  string `json:"path"`
		Vulns []struct {
			ID string `json:"id"`
		} `json:"vulns"`
	}
	if err := getJSON(base+"/index/modules.json", &modules); err != nil {
		return nil, err
	}
	for _, m := range modules {
		utls := m.Path == "github.com/refraction-networking/utls"
		if m.Path != "stdlib" && !utls {
			continue
		}
		for _, v := range m.Vulns {
			if v.ID < "GO-2025" {
				continue
			}
			var report struct {
				Affected []struct {
					Specific struct {
						Imports []struct {
							Path string `json:"path"`
						} `json:"imports"`
					} `json:"ecosystem_specific"`
				} `json:"affected"`
			}
			if err := getJSON(base+"/ID/"+v.ID+".json", &report); err != nil {
				return nil, err
			}
			concerns := utls
			for _, a := range report.Affected {
				for _, i := range a.Specific.Imports {
					concerns = concerns || i.Path == "crypto/tls"
				}
			}
			if concerns {
				ids = append(ids, v.ID)
			}
		}
	}
	return ids, nil
}

func getJSON(url string, v any) error {
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func TestConcerning(t *testing.T) {
	files := map[string]string{
		"/index/modules.json": `[{"path":"stdlib","vulns":[{"id":"GO-2024-0001"},{"id":"GO-2026-0002"},{"id":"GO-2026-0003"}]},
			{"path":"example.com/x","vulns":[{"id":"GO-2026-0004"}]},{"path":"github.com/refraction-networking/utls","vulns":[{"id":"GO-2026-0005"}]}]`,
		"/ID/GO-2026-0002.json": `{"affected":[{"ecosystem_specific":{"imports":[{"path":"os"},{"path":"crypto/tls"}]}}]}`,
		"/ID/GO-2026-0003.json": `{"affected":[{"ecosystem_specific":{"imports":[{"path":"os"}]}}]}`,
		"/ID/GO-2026-0005.json": `{"affected":[{}]}`,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if files[r.URL.Path] == "" {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, files[r.URL.Path])
	}))
	defer srv.Close()
	ids, err := concerning(srv.URL)
	if want := []string{"GO-2026-0002", "GO-2026-0005"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("%v, %v", ids, err)
	}
	delete(files, "/ID/GO-2026-0003.json")
	if _, err := concerning(srv.URL); err == nil {
		t.Error("a report that is not there is no error")
	}
}
