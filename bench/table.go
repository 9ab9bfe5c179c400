package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// printTable prints medians, with the ratio to floor and to net/http.
func printTable(w io.Writer, names, scenarios []string, results map[string]map[string][]measurement) {
	fmt.Fprintf(w, "%s %s/%s, %d cores; CPU microseconds of the client per request, medians (x floor, x net/http)\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	fmt.Fprintf(w, "| client | %s | allocations | idle heap kB | goroutines |\n", strings.Join(scenarios, " | "))
	fmt.Fprintf(w, "|---|%s---:|---:|---:|\n", strings.Repeat("---:|", len(scenarios)))
	for _, n := range names {
		row := []string{n}
		for _, s := range scenarios {
			row = append(row, cell(results, n, s))
		}
		row = append(row,
			number(median(results[n]["warm1"], func(m measurement) float64 { return m.Allocs })),
			number(median(results[n]["idle"], func(m measurement) float64 { return m.Heap })),
			number(median(results[n]["idle"], func(m measurement) float64 { return m.Goroutines })))
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

func cell(results map[string]map[string][]measurement, name, scenario string) string {
	cpu := func(n string) float64 {
		return median(results[n][scenario], func(m measurement) float64 { return m.CPU })
	}
	v := cpu(name)
	if v == 0 {
		return ""
	}
	ratio := func(of string) string {
		if o := cpu(of); o != 0 {
			return fmt.Sprintf("%.2f", v/o)
		}
		return "-"
	}
	return fmt.Sprintf("%.0f (%s, %s)", v, ratio("floor"), ratio("net/http"))
}

func number(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", v)
}

func median(ms []measurement, f func(measurement) float64) float64 {
	if len(ms) == 0 {
		return 0
	}
	v := make([]float64, len(ms))
	for i, m := range ms {
		v[i] = f(m)
	}
	slices.Sort(v)
	return v[len(v)/2]
}
