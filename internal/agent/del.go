// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// del serves DEL. It looks at the journal alone: neither the API nor the pod, pool or network need be there, and no ADD is
// waited for. A container that the journal does not know leaves a tombstone and is a success (M12).
func (a *Agent) del(req *agentapi.Request) error {
	if req.ContainerID == "" || req.Interface == "" {
		return problem.BadRequest.New("DEL without container or interface")
	}
	toClear, err := a.journal.detach(attemptKey{req.ContainerID, req.Interface})
	if err != nil {
		return problem.JournalFailed.New(err).WithCause(err)
	}
	if toClear {
		a.clears.kick()
	}
	return nil
}
