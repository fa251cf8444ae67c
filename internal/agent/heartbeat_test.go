// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/timeline"
)

// TestCachesAreComparedWhenItIsSettled proves that an agent that waits for the word of other nodes does not have the API server look
// through all claims again and again meanwhile: all agents wait at the same time, when an API server has been away.
func TestCachesAreComparedWhenItIsSettled(t *testing.T) {
	f := newFixture(t)
	silent := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "silent-" + f.namespace}}
	f.must(t, f.Create(t.Context(), silent))
	t.Cleanup(func() { _ = f.Delete(t.Context(), silent) })
	const waits = 3 * time.Second
	n := newNode(t, func(o *Options) { o.Times.Gate.Silence, o.Times.Fence = waits, time.Minute })
	n.start(t)
	eventually(t, "readiness", n.agent.Ready)
	begin := time.Now()
	n.wire.requests()
	if err := n.agent.recovery.gate.Settle(t.Context()); !errors.As(err, new(*timeline.Unsettled)) {
		t.Fatalf("nobody is waited for: %v", err)
	}
	eventually(t, "the caches to be believed", func() error {
		if !n.agent.contact.cachesHold() {
			return errNotReady
		}
		return nil
	})
	comparisons := 0
	for _, r := range n.wire.requests() {
		if strings.HasPrefix(r, "GET") && strings.HasSuffix(r, "/macclaims") {
			comparisons++
		}
	}
	if comparisons == 0 || comparisons > 3 {
		t.Errorf("%d comparisons in %s, of which most was waiting", comparisons, time.Since(begin))
	}
}
