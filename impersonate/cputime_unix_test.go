//go:build unix

package impersonate

import "syscall"

// cpuTime is what this process has used, in microseconds.
func cpuTime() int64 {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return (r.Utime.Nano() + r.Stime.Nano()) / 1000
}
