package impersonate

import (
	"slices"

	utls "github.com/refraction-networking/utls"
)

// The code points of application_settings (draft-vvv-tls-alps): Chrome used
// the first until 134 and the second since.
const (
	extALPSOld = 17513
	extALPSNew = 17613
)

// alpsSettings is what the client's EncryptedExtensions say to a server that
// answered ALPS. Chrome has no settings for any protocol.
func alpsSettings(protocols []string) map[string][]byte {
	settings := make(map[string][]byte, len(protocols))
	for _, p := range protocols {
		settings[p] = nil
	}
	return settings
}

// alpsOffers reports whether ALPS still makes sense beside the protocols of
// ALPN: a hello for a WebSocket, which offers http/1.1 alone, has none.
func alpsOffers(alps, alpn []string) bool {
	return slices.ContainsFunc(alps, func(p string) bool { return slices.Contains(alpn, p) })
}

// compressExtension is compress_certificate in the form that makes uTLS take
// compressed certificates.
func compressExtension(algorithms []uint16) *utls.UtlsCompressCertExtension {
	x := new(utls.UtlsCompressCertExtension)
	for _, a := range algorithms {
		x.Algorithms = append(x.Algorithms, utls.CertCompressionAlgo(a))
	}
	return x
}
