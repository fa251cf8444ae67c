// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"strings"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/memapi"
)

// rule is a fault that is being injected into the network.
type rule struct {
	fate fate
	// hold keeps messages from arriving until they are let go.
	hold bool
	// odds of a hundred messages that match are met, until left have been.
	odds, left int
	match      func(*message) bool
}

// rows of the fault matrix for what is done to messages.
var rows = map[fate]string{
	lostAnswer: "F6", reset: "F5", refused: "F5", throttled: "F8", unavailable: "F5", failed: "F5", conflicted: "F7", doubled: "F6",
}

// deliver lets a message arrive, or has it meet its fault.
func (w *world) deliver(m *message) {
	how, held := delivered, false
	for i, r := range w.rules {
		if !r.match(m) || w.rng.IntN(100) >= r.odds {
			continue
		}
		how, held = r.fate, r.hold
		if r.left--; r.left <= 0 {
			w.rules = append(w.rules[:i:i], w.rules[i+1:]...)
		}
		break
	}
	if held {
		m.held = true
		w.stats.fault("F12", "request held", w.momentOf(m, false))
		w.logf("%s: %s is held", m.from.name, m.text)
		return
	}
	if how != delivered {
		w.stats.fault(rows[how], how.String(), w.momentOf(m, how == lostAnswer || how == doubled))
	}
	err := w.net.carry(m, how)
	if w.verbose || how != delivered {
		w.logf("  %s: %s: %s: %v", m.from.name, m.text, how, err)
	}
}

// momentOf is the column of the fault matrix in which a message is met.
func (w *world) momentOf(m *message, committed bool) string {
	adding := "m0-m1"
	if committed {
		adding = "m2"
	}
	if strings.HasPrefix(m.from.name, "manager-") {
		switch o := m.Object().(type) {
		case *v1alpha1.MacLease:
			if o.Spec.ReleasedAt == nil && m.Verb.Writes() {
				return adding
			}
		case *v1alpha1.MacClaim:
			if m.Verb == memapi.Create || o.Status.Holder != nil {
				return adding
			}
		}
		return "m8-m9"
	}
	if claim, ok := m.Object().(*v1alpha1.MacClaim); ok && m.Subresource != "" && claim.Status.Holder == nil {
		return "m7"
	}
	if m.Kind == "MacNode" {
		return "m5-m6"
	}
	if m.Verb.Writes() {
		return adding
	}
	for _, c := range w.calls {
		if c.to != nil && c.to.process == m.from && c.req.Command == agentapi.Add {
			return "m0-m1"
		}
	}
	return "m5-m6"
}

// momentOfNode is the column in which something is done to a node.
func (w *world) momentOfNode(n *node) string {
	moment := "m5-m6"
	for _, c := range w.calls {
		if c.node != n || c.sandbox == nil {
			continue
		}
		switch c.req.Command {
		case agentapi.Del:
			return "m7"
		case agentapi.Add:
			moment = "m0-m1"
			if claim := w.claim(c.sandbox.identity); claim != nil && claim.Status.Holder != nil && claim.Status.Holder.PodUID == c.sandbox.uid {
				return "m2"
			}
		}
	}
	for _, s := range n.sandboxes {
		if s.ending && moment == "m5-m6" && (s.alive || s.toDelete) {
			return "m7"
		}
	}
	return moment
}
