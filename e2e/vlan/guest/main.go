// SPDX-License-Identifier: Apache-2.0

// The guest is the program on each machine of the VLAN tests: the container runtime of the node. See guestapi.
package main

import (
	"context"
	"fmt"
	"net/rpc"
	"os"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/e2e/vlan/guestapi"
)

func main() {
	err := run(context.Background()) //nolint:forbidigo // the root of the program
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "guest:", err)
	}
	if os.Getpid() == 1 { // the machine is a kernel, which ends with its init, one way or the other
		unix.Sync()
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	if err != nil {
		os.Exit(1)
	}
}

// run serves until the test ends the conversation.
func run(ctx context.Context) error {
	node, conn, err := lab.BecomeNode(ctx)
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName(guestapi.Service, newService(ctx, node)); err != nil {
		return fmt.Errorf("registering the service: %w", err)
	}
	server.ServeConn(conn)
	return nil
}
