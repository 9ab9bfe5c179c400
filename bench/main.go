// Command bench holds guise against the clients people use today, on one
// machine and in one run: CPU per request from getrusage of the client's own
// process, whose binary links no other peer, allocations, heap of an idle
// session, peak memory. Rounds are interleaved, so that a slow minute of the
// machine hits everybody.
//
//	go run . [-rounds 5] [-clients guise,net/http] [-scenarios warm1|scale] [-o raw.jsonl]
//
// It is a module of its own, so that its dependencies stay out of guise's.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	var (
		child     = flag.String("child", "", "internal: run one scenario of one client against -url")
		scenario  = flag.String("scenario", "", "internal: with -child")
		url       = flag.String("url", "", "internal: with -child")
		rounds    = flag.Int("rounds", 5, "interleaved rounds; medians are printed")
		only      = flag.String("clients", strings.Join(clientNames(), ","), "clients to run")
		scenarios = flag.String("scenarios", strings.Join(scenarioNames, ","), "scenarios to run; scale stands for "+strings.Join(scaleNames, ","))
		raw       = flag.String("o", "", "append one JSON line per measurement to this file")
		cpu       = flag.String("cpuprofile", "", "write a CPU profile of each measurement to this directory")
		mem       = flag.String("memprofile", "", "write an allocation profile of each measurement to this directory")
		scale     = flag.Int("scale", 1, "multiply the operations of each measurement by this")
	)
	flag.Parse()
	if *child != "" {
		if err := runChild(*child, *scenario, *url, *scale, recording{*cpu, *mem}); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	list := strings.Split(strings.ReplaceAll(*scenarios, "scale", strings.Join(scaleNames, ",")), ",")
	if err := runAll(*rounds, strings.Split(*only, ","), list, *raw,
		"-scale", strconv.Itoa(*scale), "-cpuprofile", *cpu, "-memprofile", *mem); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// build builds the binaries that the clients need, by tag, from the directory
// that this is run in.
func build(dir string, clients []string) (map[string]string, error) {
	binaries := map[string]string{}
	for _, c := range clients {
		tag := peers[c]
		if binaries[tag] != "" {
			continue
		}
		binaries[tag] = filepath.Join(dir, "bench-"+tag)
		cmd := exec.Command("go", "build", "-tags", tag, "-o", binaries[tag], ".")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("build %s: %w", c, err)
		}
	}
	return binaries, nil
}

// runAll starts the server and one process per measurement.
func runAll(rounds int, clients, scenarios []string, raw string, args ...string) error {
	dir, err := os.MkdirTemp("", "guise-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	srv, err := startServer(dir)
	if err != nil {
		return err
	}
	defer srv.stop()
	out := bufio.NewWriter(io.Discard)
	if raw != "" {
		f, err := os.OpenFile(raw, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		out = bufio.NewWriter(f)
	}
	defer out.Flush()
	binaries, err := build(dir, clients)
	if err != nil {
		return err
	}
	results := map[string]map[string][]measurement{} // client -> scenario
	for r := range rounds {
		for _, s := range scenarios {
			order := slices.Clone(clients)
			if r%2 == 1 {
				slices.Reverse(order)
			}
			url := srv.base
			if s == "reconnect" {
				url = srv.ticketless
			}
			for _, c := range order {
				if _, ok := reconnectors[c]; !ok && (s == "reconnect" || s == "resumed") {
					continue
				}
				cmd := exec.Command(binaries[peers[c]], append([]string{"-child", c, "-scenario", s, "-url", url}, args...)...)
				cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+srv.caFile, "SSL_CERT_DIR="+filepath.Join(dir, "none"))
				cmd.Stderr = os.Stderr
				b, err := cmd.Output()
				if err != nil {
					fmt.Fprintf(os.Stderr, "bench: %s %s: %v\n", c, s, err)
					continue
				}
				var m measurement
				if err := json.Unmarshal(b, &m); err != nil {
					return fmt.Errorf("%s %s: %w", c, s, err)
				}
				if results[c] == nil {
					results[c] = map[string][]measurement{}
				}
				results[c][s] = append(results[c][s], m)
				out.Write(b)
			}
		}
	}
	printTable(os.Stdout, clients, scenarios, results)
	return nil
}
