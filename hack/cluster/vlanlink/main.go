// SPDX-License-Identifier: Apache-2.0

// Vlanlink makes a VLAN's parent link on a trunk, in the current network namespace: a real 802.1Q link where the kernel has
// them, else the laboratory's eBPF shim, whose frames carry the tag as well. It prints which.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/macpool/macpool/e2e/lab"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vlanlink:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: vlanlink TRUNK VLAN NAME")
	}
	vid, err := strconv.Atoi(args[1])
	if err != nil || vid < 1 || vid > 4094 {
		return fmt.Errorf("VLAN %s: not an id from 1 to 4094", args[1])
	}
	backend, err := lab.AddVLANLink(args[0], vid, args[2])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, backend)
	return err
}
