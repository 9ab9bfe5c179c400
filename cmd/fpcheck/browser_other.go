//go:build !unix

package main

import "os/exec"

// Where there is no Xvfb, findBrowser finds no browser to start.

func asGroup(*exec.Cmd) {}

func askToEnd(cmd *exec.Cmd) { kill(cmd) }

func kill(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
