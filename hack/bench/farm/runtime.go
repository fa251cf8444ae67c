// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"os/exec"

	"github.com/macpool/macpool/e2e/lab"
)

// Runtime starts plugins in the network namespace of its node, one after the other, as a runtime's process does: the agent answers nobody who is
// elsewhere. What it has started runs at the same time.
type Runtime struct{ starts chan start }

type start struct {
	cmd  *exec.Cmd
	done chan error
}

// NewRuntime is the node's, until Close.
func NewRuntime(n *lab.Node) *Runtime {
	r := &Runtime{starts: make(chan start)}
	go func() {
		_ = n.Do(func() error { // a child is born into the network namespace of the thread that forks it
			for s := range r.starts {
				s.done <- s.cmd.Start()
			}
			return nil
		})
	}()
	return r
}

// Close ends it.
func (r *Runtime) Close() { close(r.starts) }

// run starts the command and waits for its end.
func (r *Runtime) run(cmd *exec.Cmd) error {
	s := start{cmd, make(chan error, 1)}
	r.starts <- s
	if err := <-s.done; err != nil {
		return err
	}
	return cmd.Wait()
}
