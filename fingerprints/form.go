package fingerprints

// A Form is the shape of one kind of request under one profile and locale:
// what [Profile.Form] compiles, once per kind, and requests are filled into.
type Form struct {
	Pseudo   []string    // pseudo-header names in order, for HTTP/2
	Fields   []FormField // regular fields in wire order
	Weight   int         // HEADERS priority weight, 1..256; 0 = no priority block
	Priority string      // value of the priority signal, also for PRIORITY_UPDATE; "" = none
}

// A FormField is one place in a Form.
type FormField struct {
	Name  string // lower case; "*" = the request's own further fields go here
	Spell string // spelling on HTTP/1.1
	Value string // constant value; "" = a slot that is skipped if the request brings no value
}
