// Package fingerprints knows what browsers look like on the wire: it reads
// ClientHellos and HTTP/2 prefaces and hashes them as others do (JA3, JA4,
// Akamai), and it holds profiles, which are browser releases as data.
//
// Start with [Lookup] for the profile of a browser release, [Profile.Form] for the
// header fields of one kind of request, and [ParseClientHello] for what a client
// sent.
//
// # Profiles
//
// A profile is a JSON file under profiles/, one for each release; a new release is
// a new file. [Load] reads such a file, strictly. Its sources member says which
// capture or which published fact each part was read off, and when.
//
// # Limitations
//
// TLS over TCP with HTTP/2 and HTTP/1.1 only, no QUIC. A profile says what a
// release sends, not what it executes: there is no script engine to agree with it.
package fingerprints
