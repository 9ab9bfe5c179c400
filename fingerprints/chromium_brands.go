package fingerprints

import (
	"fmt"
	"strings"
)

// ChromiumBrands returns the value of sec-ch-ua for a Chromium of this major
// version by Chromium's rule (components/embedder_support/user_agent_utils.cc):
// a made-up brand, "Chromium" and the product's own brand, in an order and with
// a spelling that follow from the version. An empty brand is a plain Chromium,
// which names itself only once.
func ChromiumBrands(major int, brand string) string { return brandList(major, brand, "", false) }

// ChromiumFullBrands returns the value of sec-ch-ua-full-version-list; full is
// the four-part version of both Chromium and the brand.
func ChromiumFullBrands(major int, brand, full string) string {
	return brandList(major, brand, full, true)
}

func brandList(major int, brand, full string, long bool) string {
	version, tail := fmt.Sprint(major), ""
	if long {
		version, tail = full, ".0.0.0"
	}
	entries := []string{greaseBrand(major, tail), brandEntry("Chromium", version)}
	if brand != "" {
		entries = append(entries, brandEntry(brand, version))
	}
	// Where each entry goes: the rule draws the order from the major version.
	places := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}[major%6]
	if len(entries) == 2 {
		places = [][]int{{0, 1}, {1, 0}}[major%2]
	}
	out := make([]string, len(entries))
	for i, e := range entries {
		out[places[i]] = e
	}
	return strings.Join(out, ", ")
}

// greaseBrand is the brand that keeps servers from parsing too strictly.
func greaseBrand(major int, tail string) string {
	chars := []string{" ", "(", ":", "-", ".", "/", ")", ";", "=", "?", "_"}
	versions := []string{"8", "99", "24"}
	name := "Not" + chars[major%len(chars)] + "A" + chars[(major+1)%len(chars)] + "Brand"
	return brandEntry(name, versions[major%len(versions)]+tail)
}

func brandEntry(name, version string) string { return fmt.Sprintf(`"%s";v="%s"`, name, version) }
