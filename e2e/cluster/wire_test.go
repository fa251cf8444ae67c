// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// wire is what crossed the trunk, and which MACs were leased meanwhile. It judges by frames, not by what anybody says of them.
type wire struct {
	capture *lab.Capture
	router  string

	mu     sync.Mutex
	leased map[string]bool // MAC -> was in a MacLease
}

func watchWire(ctx context.Context, c *cluster) (*wire, error) {
	capture, err := lab.CaptureLink("mpbox-trunk")
	if err != nil {
		return nil, err
	}
	w := &wire{capture: capture, router: c.routerMAC, leased: map[string]bool{}}
	go w.learn(ctx, c)
	return w, nil
}

// learn reads the leases again and again, which outlives restarts of the API server. A lease stays as a record for days after its
// end, so none is missed in between.
func (w *wire) learn(ctx context.Context, c *cluster) {
	for ctx.Err() == nil {
		var leases v1alpha1.MacLeaseList
		if err := c.List(ctx, &leases); err == nil {
			w.mu.Lock()
			for _, l := range leases.Items {
				w.leased[string(l.Spec.MAC)] = true
			}
			w.mu.Unlock()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// judge prints the counts of what the nodes and the router sent, and fails on any frame without a tag or from a MAC that nobody had
// leased. It fails too when nothing was seen: then nothing was proven.
func (w *wire) judge(out io.Writer) error {
	frames, err := w.capture.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	tagged, untagged, router, probes := map[int]int{}, 0, 0, 0
	foreign := map[string]int{}
	for _, f := range frames {
		switch {
		case f.VLAN == 0:
			untagged++
		case f.Source == w.router:
			router++
		case f.EtherType == unix.ETH_P_ARP && f.Sender == netip.IPv4Unspecified() && !w.leased[f.Source]:
			probes++ // an agent asks who has an address (RFC 5227); a pod never sends such
		default:
			tagged[f.VLAN]++
			if !w.leased[f.Source] {
				foreign[f.Source]++
			}
		}
	}
	_, printErr := fmt.Fprintf(out, "trunk: %d frames of pods tagged 50, untagged: %d, foreign MACs: %d (and %d frames of the router, %d probes of agents)\n",
		tagged[50], untagged, len(foreign), router, probes)
	err = errors.Join(err, printErr)
	if untagged > 0 || len(foreign) > 0 {
		err = errors.Join(err, fmt.Errorf("the trunk carried %d frames without a tag, and frames of MACs that were never leased: %v", untagged, foreign))
	}
	if others := slices.DeleteFunc(slices.Sorted(maps.Keys(tagged)), func(vid int) bool { return vid == 50 }); len(others) > 0 {
		err = errors.Join(err, fmt.Errorf("pods sent on VLANs %v, where none is", others))
	}
	if tagged[50] == 0 {
		err = errors.Join(err, errors.New("no frame of a pod was seen on VLAN 50"))
	}
	return err
}
