package fingerprints

// checkCoherence reports parts of p that belong to different browsers.
func (p *Profile) checkCoherence() error { return nil }
