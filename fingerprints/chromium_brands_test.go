package fingerprints

import "testing"

func TestChromiumBrands(t *testing.T) {
	// As browsers sent them: facts of the releases 120 to 155, and the captures.
	for _, c := range []struct {
		major int
		brand string
		want  string
	}{
		{120, "Google Chrome", `"Not_A Brand";v="8", "Chromium";v="120", "Google Chrome";v="120"`},
		{124, "Google Chrome", `"Chromium";v="124", "Google Chrome";v="124", "Not-A.Brand";v="99"`},
		{131, "Google Chrome", `"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"`},
		{131, "HeadlessChrome", `"HeadlessChrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"`},
		{133, "Microsoft Edge", `"Not(A:Brand";v="99", "Microsoft Edge";v="133", "Chromium";v="133"`},
		{136, "Google Chrome", `"Chromium";v="136", "Google Chrome";v="136", "Not.A/Brand";v="99"`},
		{142, "Google Chrome", `"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"`},
		{143, "HeadlessChrome", `"HeadlessChrome";v="143", "Chromium";v="143", "Not A(Brand";v="24"`},
		{150, "Google Chrome", `"Not;A=Brand";v="8", "Chromium";v="150", "Google Chrome";v="150"`},
		{151, "Microsoft Edge", `"Not=A?Brand";v="99", "Microsoft Edge";v="151", "Chromium";v="151"`},
		{152, "Google Chrome", `"Chromium";v="152", "Not?A_Brand";v="24", "Google Chrome";v="152"`},
		{153, "Google Chrome", `"Google Chrome";v="153", "Not_A Brand";v="8", "Chromium";v="153"`},
		{154, "Google Chrome", `"Chromium";v="154", "Google Chrome";v="154", "Not A(Brand";v="99"`},
		{155, "Google Chrome", `"Google Chrome";v="155", "Chromium";v="155", "Not(A:Brand";v="24"`},
		{156, "", `"Not:A-Brand";v="8", "Chromium";v="156"`},
	} {
		if have := ChromiumBrands(c.major, c.brand); have != c.want {
			t.Errorf("ChromiumBrands(%d, %q) = %s, want %s", c.major, c.brand, have, c.want)
		}
	}
}

func TestChromiumFullBrands(t *testing.T) {
	want := `"Not:A-Brand";v="8.0.0.0", "Chromium";v="156.0.8078.79", "Google Chrome";v="156.0.8078.79"`
	if have := ChromiumFullBrands(156, "Google Chrome", "156.0.8078.79"); have != want {
		t.Errorf("have %s, want %s", have, want)
	}
}
