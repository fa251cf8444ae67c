// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
)

// multus is a Multus of either kind, as the runtime sees it.
type multus interface {
	cniNetwork
	// restart kills what of it runs between calls, and starts it again.
	restart(running bool)
}

// errKilled is what libcni says of a plugin that it has killed.
var errKilled = errors.New("netplugin failed with no error message: signal: killed")

// multusCommon is what both kinds do (multus-cni 4.3, pkg/multus/multus.go):
//
//   - ADD reads the pod live. One that is not there is no error: the result is empty, and the pod starts without its networks.
//     A pod of another UID is an error. An API that does not answer is asked ten times, a quarter of a second apart.
//   - The delegates are written to a cache, one file for the container, before the first of them is added.
//   - Delegates are called one after the other with context.Background(): nothing ends them.
//   - When one fails, DEL goes to all up to it, backwards, and its errors are dropped. The delegate's own error is wrapped with
//     %v: its code is lost.
//   - DEL takes the delegates from the cache, and removes the file at its end, whether or not it succeeded. Without a file it
//     takes the pod's annotation, if the pod is there with this UID; else it succeeds without having called anybody.
//   - CHECK goes to all delegates. GC and STATUS go to the cluster's default network alone, which is none of ours.
type multusCommon struct {
	node *Node
}

func (m *multusCommon) cacheDir() string { return filepath.Join(m.node.dir, "multus") }

func (m *multusCommon) cacheFile(s *PodSandbox) string { return filepath.Join(m.cacheDir(), s.ID) }

func (m *multusCommon) cmdAdd(ctx context.Context, as *caller, s *PodSandbox) error {
	here, err := m.podIsThere(ctx, as, s)
	if err != nil || !here {
		return err
	}
	text, err := json.Marshal(s.Networks)
	if err == nil {
		err = os.MkdirAll(m.cacheDir(), 0o700)
	}
	if err == nil {
		err = os.WriteFile(m.cacheFile(s), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("error saving the delegates: %w", err)
	}
	for i, net := range s.Networks {
		if err := m.delegate(ctx, as, s, net, "ADD"); err != nil {
			if as.isDead() {
				return errCallerKilled
			}
			_ = m.delAll(ctx, as, s, s.Networks[:i+1])
			return fmt.Errorf("error adding container to network %q: %v", net.Name, err) //nolint:errorlint // as Multus does
		}
	}
	return nil
}

func (m *multusCommon) cmdCheck(ctx context.Context, as *caller, s *PodSandbox) error {
	for _, net := range s.Networks {
		if !net.hasCheck() {
			continue
		}
		if err := m.delegate(ctx, as, s, net, "CHECK"); err != nil {
			return fmt.Errorf("delegateCheck: %v", err) //nolint:errorlint // as Multus does
		}
	}
	return nil
}

func (m *multusCommon) cmdDel(ctx context.Context, as *caller, s *PodSandbox) error {
	here, _ := m.podIsThere(ctx, as, s) // an error is logged, and ignored
	text, err := os.ReadFile(m.cacheFile(s))
	nets := s.Networks
	switch {
	case err == nil:
		defer func() {
			if !as.isDead() {
				_ = os.Remove(m.cacheFile(s))
			}
		}()
		nets = nil
		if err := json.Unmarshal(text, &nets); err != nil {
			return fmt.Errorf("failed to load netconf: %w", err)
		}
	case !here:
		return nil // "cannot properly delete"
	}
	return m.delAll(ctx, as, s, nets)
}

// delAll is delPlugins: to the last, whatever the others say.
func (m *multusCommon) delAll(ctx context.Context, as *caller, s *PodSandbox, nets []Network) error {
	var texts []string
	for _, net := range slices.Backward(nets) {
		err := m.delegate(ctx, as, s, net, "DEL")
		if as.isDead() {
			return errCallerKilled
		}
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	if len(texts) > 0 {
		return errors.New(strings.Join(texts, " / "))
	}
	return nil
}

func (m *multusCommon) delegate(ctx context.Context, as *caller, s *PodSandbox, net Network, command string) error {
	if as.isDead() {
		return errCallerKilled
	}
	_, err := m.node.call(ctx, as, m.node.cache, Call{Command: command, Sandbox: s, Network: net, NetNS: s.netnsPath()})
	return err
}

// podIsThere asks for the pod by the node's way to the API.
func (m *multusCommon) podIsThere(ctx context.Context, as *caller, s *PodSandbox) (bool, error) {
	for tries := 0; ; tries++ {
		if as.isDead() {
			return false, errCallerKilled
		}
		if m.node.API.open() {
			break
		}
		if tries == 10 {
			return false, errors.New("error getting pod: the API server does not answer")
		}
		clock.RealClock{}.Sleep(250 * time.Millisecond)
	}
	pod, err := m.node.lab.Pod(ctx, s.Namespace, s.Name)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("error getting pod: %w", err)
	case pod.UID != s.UID:
		return false, fmt.Errorf("expected pod UID %q but got %q from Kube API", s.UID, pod.UID)
	}
	return true, nil
}

// process runs do as a process of its own, which ends when limit does, is killed then, and otherwise outlives who has started
// it.
func process(ctx context.Context, by *caller, do func(ctx context.Context, as *caller) error) error {
	as := newCaller()
	done := make(chan error, 1)
	go func() { done <- do(context.WithoutCancel(ctx), as) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		as.kill()
		return errKilled
	case <-by.dead:
		return errCallerKilled
	}
}
