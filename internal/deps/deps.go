//go:build deps

// Package deps keeps go.mod whole while the packages are being written.
package deps

import (
	_ "github.com/andybalholm/brotli"
	_ "github.com/klauspost/compress/zstd"
	_ "github.com/refraction-networking/utls"
	_ "go.uber.org/goleak"
	_ "golang.org/x/net/http2"
	_ "golang.org/x/net/http2/hpack"
	_ "golang.org/x/net/publicsuffix"
)
