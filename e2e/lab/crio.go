// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"time"

	cnitypes "github.com/containernetworking/cni/pkg/types"
)

// crio is CRI-O with ocicni:
//
//   - Networks are attached one after the other, with 5 minutes beside what is left of the request's time, and detached from
//     it (ocicni SetUpPodWithContext; cri-o server/sandbox_network.go, networkStart).
//   - Right after ADD it calls CHECK of each network whose version has it (GetPodNetworkStatus); a failure fails the pod.
//   - Whatever fails, DEL follows with a minute of its own (networkStop).
//   - DEL takes the configuration of libcni's cache, else that on the disk. The first network whose DEL fails ends it
//     (forEachNetwork). The error is a warning, libcni's results are removed, and the network counts as stopped: there is no
//     second DEL.
//   - When it starts, after the first STATUS that succeeded, it calls libcni's GC of each network with the sandboxes that it
//     knows, within 30 s; an error is a warning. libcni sends a DEL for each cached result that is not valid, then GC to plugins
//     of 1.1.0 and later.
//   - A sandbox whose set-up was cut off by kill -9 is none that a new CRI-O restores; its namespace stays pinned (not checked
//     in code: the worst that it can be).
type crio struct{}

func (o crio) setUp(ctx context.Context, c *CRI, s *PodSandbox) error {
	by := c.process()
	err := o.start(ctx, c, by, s)
	if err == nil {
		s.set(func(s *PodSandbox) { s.result = true })
		return nil
	}
	if by.isDead() {
		return errors.Join(err, errCallerKilled)
	}
	o.stop(ctx, c, by, s)
	if by.isDead() {
		return errors.Join(err, errCallerKilled)
	}
	c.forget(s)
	return errors.Join(err, s.destroy())
}

func (crio) start(ctx context.Context, c *CRI, by *caller, s *PodSandbox) error {
	if c.confsLost() {
		return errNotInitialized
	}
	ctx, cancel := detached(ctx, crioADD)
	defer cancel()
	for _, net := range c.networksOf(s) {
		if err := net.add(ctx, by, s); err != nil {
			return err
		}
	}
	for _, net := range c.networksOf(s) {
		if err := net.check(ctx, by, s); err != nil {
			return err
		}
	}
	return nil
}

// stop is networkStop: it never fails, and is not repeated.
func (crio) stop(ctx context.Context, c *CRI, by *caller, s *PodSandbox) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deferredDEL)
	defer cancel()
	for _, net := range c.networksOf(s) {
		if err := net.del(ctx, by, s); err != nil {
			if !by.isDead() {
				s.LoseResults()
			}
			break
		}
	}
	if !by.isDead() {
		s.set(func(s *PodSandbox) { s.stopped = true })
	}
}

func (o crio) tearDown(ctx context.Context, c *CRI, s *PodSandbox) error {
	by := c.process()
	if !s.is(func(s *PodSandbox) bool { return s.stopped }) {
		o.stop(ctx, c, by, s)
	}
	if by.isDead() {
		return errCallerKilled
	}
	return s.destroy()
}

func (crio) remembers(s *PodSandbox) bool {
	return s.is(func(s *PodSandbox) bool { return s.result })
}

func (crio) started(ctx context.Context, c *CRI) error {
	ctx, cancel := context.WithTimeout(ctx, crioGC)
	defer cancel()
	if c.confsLost() {
		return nil
	}
	_ = c.gc(ctx) // a warning
	return nil
}

// gc is what libcni's GCNetworkList does for each network, call by call.
func (c *CRI) gc(ctx context.Context) error {
	by := c.process()
	known := map[string]*PodSandbox{}
	for _, s := range c.Sandboxes() {
		known[s.ID] = s
	}
	if c.multi != nil {
		return nil // forwarded to the cluster's default network alone
	}
	cached, err := c.node.cniCalledBy(by, c.node.cache).GetCachedAttachments("")
	if err != nil {
		return nil //nolint:nilerr // as libcni
	}
	var errs []error
	for _, a := range cached {
		if known[a.ContainerID] != nil {
			continue
		}
		for _, s := range c.lost(a.ContainerID) {
			for _, net := range s.Networks {
				if net.Interface == a.IfName {
					errs = append(errs, confNetwork{net}.del(ctx, by, s))
				}
			}
		}
	}
	for name, config := range c.confSnapshot() {
		var valid []cnitypes.GCAttachment
		for _, s := range known {
			for _, net := range s.Networks {
				if net.Name == name {
					valid = append(valid, cnitypes.GCAttachment{ContainerID: s.ID, IfName: net.Interface})
				}
			}
		}
		errs = append(errs, c.node.gcBy(ctx, by, Network{Name: name, Config: config}, valid))
	}
	return errors.Join(errs...)
}

// lost are the sandboxes of an id that the runtime does not know any more.
func (c *CRI) lost(id string) []*PodSandbox {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*PodSandbox
	for _, s := range c.leaked {
		if s.ID == id {
			all = append(all, s)
		}
	}
	return all
}

func (c *CRI) confSnapshot() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.confs)
}

// LoseResults removes libcni's results of a sandbox.
func (s *PodSandbox) LoseResults() {
	files, _ := filepath.Glob(filepath.Join(s.Node.cache, "results", "*-"+s.ID+"-*"))
	for _, file := range files {
		_ = os.Remove(file)
	}
}

// detached is a context that outlives its parent by d.
func detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithTimeout(context.WithoutCancel(ctx), d)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), deadline.Add(d))
}
