package fingerprints

// check reports the first thing in p that no connection could be made with.
func (p *Profile) check() error { return nil }
