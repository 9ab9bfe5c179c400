package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// Exit codes.
const (
	exitSame        = 0
	exitDifferent   = 1
	exitUnknown     = 2
	exitInterrupted = 130
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process: the second signal has to be heard at any time
		<-signals
		cancel() // sessions drain, for at most five seconds
		<-signals
		os.Exit(exitInterrupted) // the kernel closes what is left
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// A command is one word behind fpcheck.
type command struct {
	usage string
	run   func(ctx context.Context, c *cli, args []string) error
}

var commands = map[string]command{
	"verify":  {"verify [-p NAME | --profile-file FILE] [--capture CAPTURE] [--url URL] [--record DIR] [--json]", runVerify},
	"learn":   {"learn CAPTURE... -o PROFILE.json [--base NAME] [--name NAME]", runLearn},
	"list":    {"list [--json]", runList},
	"show":    {"show NAME [--json]", runShow},
	"hash":    {"hash HEX | - [--json]", runHash},
	"diff":    {"diff A B [--json]", runDiff},
	"capture": {"capture (--browser PATH | --wait) -o FOLDER | NAME.json", runCapture},
	"pcap":    {"pcap FILE [--json]", runPcap},
	"serve":   {"serve [--addr HOST:PORT] [--ca FILE] [--json]", runServe},
}

// A cli is what a command prints to, and its flags.
type cli struct {
	stdout, stderr io.Writer
	flags          *flag.FlagSet
	usage          string
	json           bool
}

// errDifferent ends a command whose answer is "not the same".
var errDifferent = errors.New("different")

// A usageError is a fault of the caller, with a hint at what to do instead.
type usageError struct {
	message, hint string
}

func (e *usageError) Error() string { return e.message }

func usagef(hint, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), hint}
}

// run is the program without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	name := "verify"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if name == "help" || len(args) == 1 && (args[0] == "-h" || args[0] == "--help" || args[0] == "-help") {
		printUsage(stdout)
		return exitSame
	}
	cmd, ok := commands[name]
	if !ok {
		return report(stderr, usagef("the commands are "+strings.Join(commandNames(), ", "), "there is no command %q", name))
	}
	c := &cli{stdout: stdout, stderr: stderr, flags: flag.NewFlagSet(name, flag.ContinueOnError), usage: cmd.usage}
	c.flags.SetOutput(io.Discard)
	c.flags.BoolVar(&c.json, "json", false, "print JSON")
	err := cmd.run(ctx, c, args)
	if ctx.Err() != nil && err != nil {
		return exitInterrupted
	}
	return report(stderr, err)
}

func commandNames() []string {
	var names []string
	for name := range commands {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func printUsage(w io.Writer) {
	fmt.Fprintln(w, "usage: fpcheck [command]")
	for _, name := range commandNames() {
		fmt.Fprintln(w, "       fpcheck", commands[name].usage)
	}
	fmt.Fprintln(w, "Without a command it verifies every embedded profile.\nExit status: 0 same, 1 different, 2 could not tell.")
}

// parse reads flags that may stand before or behind the arguments, and checks
// how many arguments are left.
func (c *cli) parse(args []string, least, most int) ([]string, error) {
	var rest []string
	for {
		if err := c.flags.Parse(args); err != nil {
			return nil, usagef("usage: fpcheck "+c.usage, "%v", err)
		}
		if c.flags.NArg() == 0 {
			break
		}
		rest = append(rest, c.flags.Arg(0))
		args = c.flags.Args()[1:]
	}
	if len(rest) < least || len(rest) > most {
		return nil, usagef("usage: fpcheck "+c.usage, "%s takes %s, there are %d", c.flags.Name(), arguments(least, most), len(rest))
	}
	return rest, nil
}

func arguments(least, most int) string {
	switch {
	case least == most && least == 1:
		return "one argument"
	case least == most:
		return fmt.Sprintf("%d arguments", least)
	}
	return fmt.Sprintf("%d arguments or more", least)
}

// report prints what went wrong and returns the exit status.
func report(stderr io.Writer, err error) int {
	switch {
	case err == nil:
		return exitSame
	case errors.Is(err, errDifferent):
		return exitDifferent
	}
	fmt.Fprintln(stderr, "fpcheck: error:", plain(strings.ReplaceAll(err.Error(), "\n", " ")))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintln(stderr, "fpcheck: hint:", hint)
	}
	return exitUnknown
}
