// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/problem"
)

// refuseMain refuses the main plugins that would come up with a MAC that is not the leased one. The agent is not asked
// before, so that a network that can never work leaves no lease behind.
func (c *conf) refuseMain() error {
	why, err := cni.Refusal(c.Type, c.raw)
	if err != nil {
		return badJSON(err)
	}
	if why != "" {
		return problem.UnsupportedMain.New(c.Type, why)
	}
	return nil
}

// refuseKind is refuseMain for what the link shows, whoever made it.
func refuseKind(l *links.Link) error {
	switch {
	case l.Passthru:
		return problem.UnsupportedMain.New(l.Kind, cni.Passthru)
	case l.Kind == "ipvlan" || l.Kind == "ipvtap":
		return problem.UnsupportedMain.New(l.Kind, cni.SharesMAC)
	}
	return nil
}
