// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// multusThick is Multus as a daemon, which the runtime reaches by a shim, a process for each call (cmd/multus-shim,
// pkg/server/api/shim.go):
//
//   - When the runtime's time is up, libcni kills the shim. The daemon goes on to the end of the whole ADD, results and caches
//     included, and nobody hears of it.
//   - An ADD waits up to 60 s for the daemon to be ready, and then as long as it takes.
//   - A DEL asks only whether the daemon lives. Its error is logged, and the shim returns success: the runtime never hears of a
//     DEL that failed, nor of one that was never made because there was no daemon.
//   - When the daemon is killed, its delegates go on, and what they print is read by nobody.
type multusThick struct {
	multusCommon

	mu     sync.Mutex
	daemon *caller
}

const shimWait = time.Minute

var errNoDaemon = errors.New("failed to send CNI request: the Multus daemon does not answer")

func (m *multusThick) running() *caller {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.daemon
}

// restart kills the daemon, and starts another one if it is to run.
func (m *multusThick) restart(running bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.daemon.kill()
	if running {
		m.daemon = newCaller()
	}
}

// post hands a request to the daemon, and waits for its answer as long as the shim lives.
func (m *multusThick) post(ctx context.Context, by *caller, do func(ctx context.Context, as *caller) error) error {
	as := m.running()
	if as.isDead() {
		return errNoDaemon
	}
	done := make(chan error, 1)
	go func() { done <- do(context.WithoutCancel(ctx), as) }()
	select {
	case err := <-done:
		return err
	case <-as.dead:
		return errNoDaemon
	case <-ctx.Done():
		return errKilled
	case <-by.dead:
		return errCallerKilled
	}
}

func (m *multusThick) add(ctx context.Context, by *caller, s *PodSandbox) error {
	const poll = 100 * time.Millisecond
	for waited := time.Duration(0); m.running().isDead(); waited += poll {
		if waited >= shimWait {
			return fmt.Errorf("waiting for the Multus daemon: %w", errNoDaemon)
		}
		select {
		case <-clock.RealClock{}.After(poll):
		case <-ctx.Done():
			return errKilled
		case <-by.dead:
			return errCallerKilled
		}
	}
	return m.post(ctx, by, func(ctx context.Context, as *caller) error { return m.cmdAdd(ctx, as, s) })
}

func (m *multusThick) check(ctx context.Context, by *caller, s *PodSandbox) error {
	return m.post(ctx, by, func(ctx context.Context, as *caller) error { return m.cmdCheck(ctx, as, s) })
}

func (m *multusThick) del(ctx context.Context, by *caller, s *PodSandbox) error {
	err := m.post(ctx, by, func(ctx context.Context, as *caller) error { return m.cmdDel(ctx, as, s) })
	if errors.Is(err, errKilled) || errors.Is(err, errCallerKilled) {
		return err // there is no shim left that could say success
	}
	return nil
}
