module github.com/guise-http/guise/bench

go 1.26.0

require (
	github.com/Noooste/azuretls-client v1.13.2
	github.com/bogdanfinn/fhttp v0.6.8
	github.com/bogdanfinn/tls-client v1.14.0
	github.com/guise-http/guise v0.0.0-00010101000000-000000000000
	github.com/imroc/req/v3 v3.61.0
	github.com/refraction-networking/utls v1.8.2
	github.com/sardanioss/httpcloak v1.6.0
	golang.org/x/net v0.57.0
)

require (
	filippo.io/edwards25519 v1.2.0 // indirect
	github.com/Noooste/fhttp v1.0.15 // indirect
	github.com/Noooste/go-socks4 v0.0.2 // indirect
	github.com/Noooste/uquic-go v1.0.5 // indirect
	github.com/Noooste/utls v1.3.20 // indirect
	github.com/Noooste/websocket v1.0.3 // indirect
	github.com/andybalholm/brotli v1.2.2 // indirect
	github.com/bdandy/go-errors v1.2.2 // indirect
	github.com/bdandy/go-socks4 v1.2.3 // indirect
	github.com/bogdanfinn/quic-go-utls v1.0.9-utls // indirect
	github.com/bogdanfinn/utls v1.7.7-barnius // indirect
	github.com/bogdanfinn/websocket v1.5.5-barnius // indirect
	github.com/cloudflare/circl v1.6.2 // indirect
	github.com/fatih/color v1.18.0 // indirect
	github.com/gaukas/clienthellod v0.4.2 // indirect
	github.com/gaukas/godicttls v0.0.4 // indirect
	github.com/google/go-querystring v1.2.0 // indirect
	github.com/google/gopacket v1.1.19 // indirect
	github.com/icholy/digest v1.2.0 // indirect
	github.com/klauspost/compress v1.19.2 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/miekg/dns v1.1.69 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	github.com/quic-go/quic-go v0.61.0 // indirect
	github.com/sardanioss/http v1.2.0 // indirect
	github.com/sardanioss/net v1.2.1 // indirect
	github.com/sardanioss/qpack v0.6.2 // indirect
	github.com/sardanioss/quic-go v1.2.18 // indirect
	github.com/sardanioss/udpbara v1.1.0 // indirect
	github.com/sardanioss/utls v1.10.2 // indirect
	github.com/tam7t/hpkp v0.0.0-20160821193359-2b70b4024ed5 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/mod v0.38.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	golang.org/x/tools v0.48.0 // indirect
)

replace github.com/guise-http/guise => ../
