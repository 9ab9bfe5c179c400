//go:build race

package session

// raceEnabled: the race detector's own memory only grows.
const raceEnabled = true
