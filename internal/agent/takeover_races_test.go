// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

// TestTakeoverRaces proves that a takeover is one write of the version that all evidence is about, and what becomes of one that is
// overtaken, whose answer is lost, or whose caller goes.
func TestTakeoverRaces(t *testing.T) {
	ready := func(t *testing.T) *scene {
		t.Helper()
		s := newScene(t, "")
		s.cutOff(t)
		s.refused(t, "new-0", problem.TakeoverTooSoon)
		s.wait(41 * time.Second)
		return s
	}
	during := func(s *scene, do func()) {
		s.new.vlan = func(context.Context, string, wire.Query) (string, error) {
			if s.asked.Add(1) == 1 {
				do()
			}
			return "", nil
		}
	}
	t.Run("the old agent clears the holder while the VLAN is asked", func(t *testing.T) {
		s := ready(t)
		during(s, func() {
			s.must(t, s.binder().ClearHolder(t.Context(), claimKey(s.lease.Claim), s.oldPod.UID, 1, binding.AgentReport(s.old.name)))
		})
		s.taken(t, "new-1", v1alpha1.EndAgentReport)
	})
	t.Run("another pod becomes the holder while the VLAN is asked", func(t *testing.T) {
		s := ready(t)
		s.makeNode(t, "third-"+s.old.name)
		during(s, func() {
			s.must(t, s.binder().ClearHolder(t.Context(), claimKey(s.lease.Claim), s.oldPod.UID, 1, binding.AgentReport(s.old.name)))
			_, err := s.binder().SetHolder(t.Context(), s.claimOf(t, s.pod), v1alpha1.Holder{
				PodName: "db-0", PodUID: "third", NodeName: "third-" + s.old.name, Interface: "net1",
			})
			s.must(t, err)
		})
		wantProblem(t, s.new.ask(t, s.wants("new-1")), problem.ClaimHeld)
		if holder := s.claimOf(t, s.pod).Status.Holder; holder == nil || holder.PodUID != "third" {
			t.Errorf("the holder is %+v, want the third pod", holder)
		}
	})
	t.Run("the old node is back while the VLAN is asked", func(t *testing.T) {
		s := ready(t)
		during(s, func() { s.renewReport(t) })
		s.refused(t, "new-1", problem.ClaimHeld)
	})
	t.Run("the holder is cleared before the first look", func(t *testing.T) {
		s := ready(t)
		s.endHold(t, s.oldPod, v1alpha1.EndAgentReport)
		if _, err := s.tryTakeOver(t, s.pod); !errors.Is(err, errChanged) {
			t.Errorf("the error is %v, want that the claim has changed", err)
		}
		s.must(t, s.Delete(t.Context(), s.claimOf(t, s.pod)))
		if _, err := s.tryTakeOver(t, s.pod); !errors.Is(err, errChanged) {
			t.Errorf("the error is %v, want that the claim has changed", err)
		}
	})
	t.Run("the answers are lost (F6)", func(t *testing.T) {
		s := ready(t)
		s.new.wire.loseEachAnswerOnce()
		s.taken(t, "new-1", v1alpha1.EndTakenOver)
	})
	t.Run("the caller goes while the VLAN is asked (F2)", func(t *testing.T) {
		s := ready(t)
		conn := dial(t, s.new.socket)
		over := make(chan struct{})
		s.new.vlan = func(ctx context.Context, _ string, _ wire.Query) (string, error) {
			defer close(over)
			_ = conn.Close()
			<-ctx.Done()
			return "", ctx.Err()
		}
		s.must(t, agentapi.Write(conn, s.wants("new-1")))
		<-over
		eventually(t, "the tombstone", func() error {
			if entry, ok := s.new.agent.journal.get(attemptKey{"new-1", "net1"}); !ok || entry.State == attached {
				return errNotReady
			}
			return nil
		})
		if holder := s.claimOf(t, s.pod).Status.Holder; holder == nil || holder.PodUID != s.oldPod.UID {
			t.Errorf("the holder is %+v, want the old pod", holder)
		}
		s.hear("", nil)
		s.taken(t, "new-2", v1alpha1.EndTakenOver)
	})
}
