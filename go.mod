module github.com/guise-http/guise

go 1.25.0

require (
	filippo.io/edwards25519 v1.2.0
	github.com/andybalholm/brotli v1.2.0
	github.com/klauspost/compress v1.18.3
	github.com/refraction-networking/utls v1.8.2
	go.uber.org/goleak v1.3.0
	golang.org/x/crypto v0.53.0
	golang.org/x/net v0.56.0
)

require (
	golang.org/x/sys v0.46.0 // indirect
	golang.org/x/text v0.38.0 // indirect
)
