//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// asGroup has cmd start as a group of its own, that Xvfb and the browser's
// children end with it.
func asGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// askToEnd asks cmd's group to end, kill ends it.
func askToEnd(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }

func kill(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
