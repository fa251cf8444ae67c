// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// CaptureLink begins to record what comes in at a link of the current network namespace. On a bridge that is promiscuous, that
// is every frame that crosses it.
func CaptureLink(name string) (*Capture, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("capturing at %s: %w", name, err)
	}
	c := &Capture{port: name, done: make(chan struct{})}
	if c.fd, err = openCapture(link.Attrs().Index); err != nil {
		return nil, fmt.Errorf("capturing at %s: %w", name, err)
	}
	go c.run()
	return c, nil
}
