//go:build !unix

package impersonate

// cpuTime is not known.
func cpuTime() int64 { return 0 }
