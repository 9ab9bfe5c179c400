package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/guise-http/guise/internal/observe"
)

// A pcapRow is one ClientHello of a packet capture.
type pcapRow struct {
	Client   string       `json:"client"`
	Server   string       `json:"server"`
	Name     string       `json:"server_name,omitempty"`
	Segments int          `json:"tcp_segments"`
	TLS      helloStrings `json:"tls"`
}

func runPcap(_ context.Context, c *cli, args []string) error {
	rest, err := c.parse(args, 1, 1)
	if err != nil {
		return err
	}
	f, err := os.Open(rest[0])
	if err != nil {
		return err
	}
	defer f.Close()
	found, err := observe.ReadPcap(f)
	if err != nil && len(found) == 0 {
		return err
	}
	if len(found) == 0 {
		return usagef("record the handshakes too: tcpdump -w file.pcap tcp port 443", "%s holds no ClientHello over TCP", rest[0])
	}
	var list []pcapRow
	for _, h := range found {
		list = append(list, pcapRow{h.Client.String(), h.Server.String(), h.Hello.ServerName, h.Segments, stringsOf(h.Hello)})
	}
	if perr := c.print(list, func(b *bytes.Buffer) {
		rows := [][]string{{"CLIENT", "SERVER", "NAME", "JA4", "JA3N", "SEGMENTS"}}
		for _, x := range list {
			rows = append(rows, []string{x.Client, x.Server, x.Name, x.TLS.JA4, x.TLS.JA3NHash, fmt.Sprint(x.Segments)})
		}
		table(b, rows)
	}); perr != nil {
		return perr
	}
	return err // what was read before a fault is printed, the fault is told
}
