module github.com/guise-http/guise/internal/controls

go 1.25.0

require (
	github.com/bogdanfinn/fhttp v0.6.8
	github.com/refraction-networking/utls v1.8.2
	golang.org/x/net v0.38.0
)

require (
	github.com/andybalholm/brotli v1.1.1 // indirect
	github.com/bogdanfinn/utls v1.7.7-barnius // indirect
	github.com/klauspost/compress v1.17.11 // indirect
	golang.org/x/crypto v0.36.0 // indirect
	golang.org/x/sys v0.31.0 // indirect
	golang.org/x/text v0.23.0 // indirect
)
