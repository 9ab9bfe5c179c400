package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
)

// A recording says which directories profiles of a measurement go to; empty
// ones record nothing. What is measured meanwhile is slower.
type recording struct{ cpu, mem string }

// start records until stop is called.
func (p recording) start(name string) (stop func() error, err error) {
	name = strings.ReplaceAll(name, "/", "_")
	if p.mem != "" {
		runtime.MemProfileRate = 512
	}
	var cpu *os.File
	if p.cpu != "" {
		if cpu, err = os.Create(filepath.Join(p.cpu, name+".cpu")); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(cpu); err != nil {
			cpu.Close()
			return nil, err
		}
	}
	return func() error {
		if cpu != nil {
			pprof.StopCPUProfile()
			if err := cpu.Close(); err != nil {
				return err
			}
		}
		if p.mem == "" {
			return nil
		}
		mem, err := os.Create(filepath.Join(p.mem, name+".mem"))
		if err != nil {
			return err
		}
		if err := pprof.Lookup("allocs").WriteTo(mem, 0); err != nil {
			mem.Close()
			return err
		}
		return mem.Close()
	}, nil
}
