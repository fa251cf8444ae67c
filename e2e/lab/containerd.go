// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// containerd calls plugins by go-cni (1.1.13):
//
//   - Setup attaches all networks at once, waits for all of them and returns the first error (go-cni cni.go, attachNetworks). The
//     context is that of kubelet's request, 4 minutes; when it ends libcni kills the plugins that it has started.
//   - An ADD that fails is followed by a DEL in a deferred function with a minute of its own. If that fails too and there is no
//     result, as there never is then, its error is ignored, and the namespace is removed (sandbox_run.go).
//   - There is no CHECK and no GC: CRI has neither, go-cni has no GC at all.
//   - DEL works with the configuration that is on the disk now; without any it fails (go-cni Status, Remove).
//   - go-cni takes an error of DEL for success if its text contains "not found", or "no such file or directory" while the
//     namespace is closed (go-cni cni.go, Remove).
//   - An error of DEL fails StopPodSandbox, and kubelet tries again; without a result of ADD it is a warning (sandbox_stop.go).
//   - CNI_NETNS is empty when the namespace is closed.
//   - The sandbox is stored before its networks are set up, so a containerd that is started again after kill -9 knows it, as not
//     ready and without a result; kubelet stops it (sandbox_run.go, restart.go).
type containerd struct{}

func (containerd) setUp(ctx context.Context, c *CRI, s *PodSandbox) error {
	by := c.process()
	err := goCNISetup(ctx, c, by, s)
	if err == nil {
		s.set(func(s *PodSandbox) { s.result = true })
		return nil
	}
	if by.isDead() {
		return errors.Join(err, errCallerKilled)
	}
	deferred, cancel := context.WithTimeout(context.WithoutCancel(ctx), deferredDEL)
	defer cancel()
	_ = goCNIRemove(deferred, c, by, s) // there is no result, so its error is ignored
	if by.isDead() {
		return errors.Join(err, errCallerKilled)
	}
	c.forget(s)
	return errors.Join(err, s.destroy())
}

func (containerd) tearDown(ctx context.Context, c *CRI, s *PodSandbox) error {
	if s.is(func(s *PodSandbox) bool { return s.stopped }) {
		return nil
	}
	by := c.process()
	err := goCNIRemove(ctx, c, by, s)
	if by.isDead() {
		return errCallerKilled
	}
	if err != nil && s.is(func(s *PodSandbox) bool { return s.result }) {
		return err
	}
	s.set(func(s *PodSandbox) { s.stopped = true })
	return s.destroy()
}

func (containerd) remembers(*PodSandbox) bool { return true }

func (containerd) started(context.Context, *CRI) error { return nil }

// errNotInitialized is go-cni's ErrCNINotInitialized.
var errNotInitialized = errors.New("cni plugin not initialized: no network config")

func goCNISetup(ctx context.Context, c *CRI, by *caller, s *PodSandbox) error {
	if c.confsLost() {
		return errNotInitialized
	}
	nets := c.networksOf(s)
	var attaching sync.WaitGroup
	errs := make(chan error, len(nets))
	for _, net := range nets {
		attaching.Go(func() { errs <- net.add(ctx, by, s) })
	}
	attaching.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func goCNIRemove(ctx context.Context, c *CRI, by *caller, s *PodSandbox) error {
	if c.confsLost() {
		return errNotInitialized
	}
	for _, net := range c.networksOf(s) {
		err := net.del(ctx, by, s)
		if err == nil || goCNISwallows(err, s.netnsPath()) {
			continue
		}
		return err
	}
	return nil
}

func goCNISwallows(err error, netns string) bool {
	return netns == "" && strings.Contains(err.Error(), "no such file or directory") || strings.Contains(err.Error(), "not found")
}
