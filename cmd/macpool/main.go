// SPDX-License-Identifier: Apache-2.0

// Macpool is the CNI plugin. Container runtimes and Multus run it, alone or under macvlan and bridge; it asks the agent of
// the node, sets the leased MAC and prints the result. See package plugin.
package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/plugin"
)

func main() {
	if !run() {
		os.Exit(1)
	}
}

func run() bool {
	// A result that nobody reads must be an error that gives the lease back, not the end of the process.
	signal.Ignore(unix.SIGPIPE)

	command := os.Getenv("CNI_COMMAND")
	if command != "VERSION" {
		growStack(false)
	}

	ctx := context.Background()
	// DEL does its work whether or not somebody waits for it.
	if command == "ADD" {
		watched, stop := plugin.WatchCaller(ctx, os.Stdout)
		defer stop()
		ctx = watched
	}
	e := plugin.Main(ctx, plugin.New())
	if e == nil {
		return true
	}
	// With a standard output that is closed, the exit status says it all.
	_ = e.Print()
	return false
}

// growStack has the stack grow once, while there is nothing on it. It would by doubling, and each time the runtime would look through all frames
// of a JSON decoder, or of netlink, which has a buffer of 64 KiB there. What counts is the frame, whether it is used or not.
//
//go:noinline
func growStack(used bool) byte {
	if !used {
		return 0
	}
	var room [100 << 10]byte
	for i := range room {
		room[i] = byte(i & 0xff)
	}
	return room[os.Getpid()%len(room)]
}
