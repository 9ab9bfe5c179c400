package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// scenarioNames are the columns of the table.
var scenarioNames = []string{"warm1", "warm64", "bulk", "handshake", "reconnect", "resumed", "idle"}

// scaleNames are what "scale" stands for: c concurrent requests on one
// connection, and n connections with a request at a time each.
var scaleNames = []string{"c1", "c8", "c64", "c512", "n1", "n16", "n256"}

// A measurement is what one process found.
type measurement struct {
	Client     string  `json:"client"`
	Scenario   string  `json:"scenario"`
	CPU        float64 `json:"cpu_us"`     // user and system time of the client per operation, microseconds
	Wall       float64 `json:"wall_us"`    // per operation
	Allocs     float64 `json:"allocs"`     // per operation
	Heap       float64 `json:"heap_kb"`    // idle: live heap and stacks per session, kB
	Goroutines float64 `json:"goroutines"` // idle: per session
	RSS        int64   `json:"max_rss_kb"`
}

// runChild measures one scenario and prints the measurement as JSON.
func runChild(name, scenario, base string, scale int, p recording) error {
	open, ok := clients[name]
	if !ok {
		return fmt.Errorf("no client %q", name)
	}
	m := measurement{Client: name, Scenario: scenario}
	stop, err := p.start(name + "-" + scenario)
	if err != nil {
		return err
	}
	op, n := scenario[:1], 0
	switch scenario {
	case "warm1":
		err = warm(&m, open, base+"/small", 500, scale*5000, 1)
	case "warm64":
		err = warm(&m, open, base+"/small", 2000, scale*30000, 64)
	case "bulk":
		err = warm(&m, open, base+"/mib", 10, scale*150, 1)
	case "handshake":
		err = handshakes(&m, open, base+"/small", 20, scale*200)
	case "reconnect", "resumed":
		err = reconnects(&m, name, base+"/small", 20, scale*200, scenario == "resumed")
	case "idle":
		err = idle(&m, open, base+"/small", 200)
	default:
		if n, err = strconv.Atoi(scenario[1:]); err != nil || n < 1 || op != "c" && op != "n" {
			return fmt.Errorf("no scenario %q", scenario)
		}
		if op == "c" {
			err = warm(&m, open, base+"/small", 20*n, scale*20000, n)
		} else {
			err = spread(&m, open, base+"/small", scale*20000, n)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", name, scenario, err)
	}
	if err := stop(); err != nil {
		return err
	}
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	m.RSS = u.Maxrss
	return json.NewEncoder(os.Stdout).Encode(m)
}

// warm sends n requests over one open client from c goroutines.
func warm(m *measurement, open func() (client, error), url string, warmup, n, c int) error {
	cl, err := open()
	if err != nil {
		return err
	}
	defer cl.close()
	if err := fan(cl, url, warmup, c); err != nil {
		return err
	}
	return measure(m, n, func() error { return fan(cl, url, n, c) })
}

// spread sends total requests over n open clients, one at a time on each.
func spread(m *measurement, open func() (client, error), url string, total, n int) error {
	all := make([]client, n)
	for i := range all {
		cl, err := open()
		if err != nil {
			return err
		}
		defer cl.close()
		if err := fan(cl, url, 20, 1); err != nil {
			return err
		}
		all[i] = cl
	}
	return measure(m, total/n*n, func() error {
		errs := make(chan error, n)
		for _, cl := range all {
			go func() { errs <- fan(cl, url, total/n, 1) }()
		}
		for range all {
			if err := <-errs; err != nil {
				return err
			}
		}
		return nil
	})
}

func fan(cl client, url string, n, c int) error {
	if c == 1 {
		for range n {
			if err := cl.get(url); err != nil {
				return err
			}
		}
		return nil
	}
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	var first error
	var once sync.Once
	for range c {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := cl.get(url); err != nil {
					once.Do(func() { first = err })
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

// handshakes opens a client, sends one request and closes it, n times.
func handshakes(m *measurement, open func() (client, error), url string, warmup, n int) error {
	one := func(n int) error {
		for range n {
			cl, err := open()
			if err != nil {
				return err
			}
			if err := cl.get(url); err != nil {
				return err
			}
			cl.close()
		}
		return nil
	}
	if err := one(warmup); err != nil {
		return err
	}
	return measure(m, n, func() error { return one(n) })
}

// idle keeps n clients with one connection each and weighs them.
func idle(m *measurement, open func() (client, error), url string, n int) error {
	first, err := open()
	if err != nil {
		return err
	}
	defer first.close()
	if err := first.get(url); err != nil {
		return err
	}
	before, g := weigh()
	kept := make([]client, n)
	for i := range kept {
		if kept[i], err = open(); err != nil {
			return err
		}
		if err := kept[i].get(url); err != nil {
			return err
		}
	}
	after, g2 := weigh()
	m.Heap = float64(after-before) / 1024 / float64(n)
	m.Goroutines = float64(g2-g) / float64(n)
	for _, c := range kept {
		c.close()
	}
	return nil
}

func weigh() (int64, int) {
	for range 3 {
		runtime.GC()
		time.Sleep(50 * time.Millisecond) // let finished goroutines go; nothing waits for this
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc + s.StackInuse), runtime.NumGoroutine()
}

// measure runs f, which does n operations, and fills m.
func measure(m *measurement, n int, f func() error) error {
	runtime.GC()
	var s0, s1 runtime.MemStats
	var u0, u1 syscall.Rusage
	runtime.ReadMemStats(&s0)
	syscall.Getrusage(syscall.RUSAGE_SELF, &u0)
	t0 := time.Now()
	if err := f(); err != nil {
		return err
	}
	wall := time.Since(t0)
	syscall.Getrusage(syscall.RUSAGE_SELF, &u1)
	runtime.ReadMemStats(&s1)
	cpu := func(u syscall.Rusage) int64 {
		return (u.Utime.Sec+u.Stime.Sec)*1e6 + u.Utime.Usec + u.Stime.Usec
	}
	m.CPU = float64(cpu(u1)-cpu(u0)) / float64(n)
	m.Wall = float64(wall.Microseconds()) / float64(n)
	m.Allocs = float64(s1.Mallocs-s0.Mallocs) / float64(n)
	return nil
}
