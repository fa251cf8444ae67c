// SPDX-License-Identifier: Apache-2.0

// Command release makes what a release consists of beside the binaries: images without a daemon and without a base, the
// licence texts that belong into them, bills of materials and signatures. The same input gives the same bytes, but for signatures. And it
// checks a release: that all of this belongs together.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// commands are the subcommands; each gets its arguments.
var commands = map[string]func(args []string, stdout io.Writer) error{
	"check-licenses": checkLicenses,
	"image":          image,
	"licenses":       licenses,
	"push":           push,
	"registry":       serveRegistry,
	"sbom":           sbom,
	"sign":           sign,
	"subjects":       subjects,
	"verify":         verify,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		names := strings.Join(slices.Sorted(maps.Keys(commands)), "|")
		fmt.Fprintf(os.Stderr, "usage: release %s [FLAG]... ARGUMENT...; -h after one of them tells its flags\n", names)
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "release %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// newFlags returns the flag set of a subcommand; a wrong flag ends the program.
func newFlags(name, arguments string) *flag.FlagSet {
	flags := flag.NewFlagSet("release "+name, flag.ExitOnError)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(flags.Output(), "usage: release %s [FLAG]... %s\n", name, arguments)
		flags.PrintDefaults()
	}
	return flags
}
