package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// A listRow is one embedded profile.
type listRow struct {
	Name      string   `json:"name"`
	Aliases   []string `json:"aliases,omitempty"`
	Platforms []string `json:"platforms"`
	Released  string   `json:"released"`
	Days      int      `json:"age_days"`
	Evidence  string   `json:"evidence"` // capture, facts
	Source    string   `json:"source"`
}

func runList(_ context.Context, c *cli, args []string) error {
	if _, err := c.parse(args, 0, 0); err != nil {
		return err
	}
	aliases := map[string][]string{}
	for alias, full := range fingerprints.Aliases() {
		if p, err := fingerprints.Lookup(full); err == nil && !strings.Contains(strings.TrimPrefix(alias, p.Browser), "-") {
			aliases[p.Name] = append(aliases[p.Name], alias)
		}
	}
	var list []listRow
	for _, name := range fingerprints.Names() {
		p, err := fingerprints.Lookup(name)
		if err != nil {
			return err
		}
		row := listRow{Name: name, Aliases: aliases[name], Released: p.Released, Days: int(p.Age(time.Now()).Hours() / 24)}
		for _, x := range p.Platforms {
			row.Platforms = append(row.Platforms, x.Name)
		}
		if len(p.Sources) > 0 {
			row.Evidence, row.Source = p.Sources[0].Kind, p.Sources[0].Name
		}
		list = append(list, row)
	}
	return c.print(list, func(b *bytes.Buffer) {
		rows := [][]string{{"NAME", "RELEASED", "AGE", "EVIDENCE", "SOURCE", "PLATFORMS", "ALIAS"}}
		for _, x := range list {
			rows = append(rows, []string{x.Name, x.Released, fmt.Sprintf("%d d", x.Days), x.Evidence, x.Source, strings.Join(x.Platforms, ","), strings.Join(x.Aliases, ",")})
		}
		table(b, rows)
	})
}
