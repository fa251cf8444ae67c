// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/invariants"
)

const (
	// maxAsking is how many agents are asked at a time, askLimit how long one may take.
	maxAsking = 16
	askLimit  = 20 * time.Second
)

// askAgents is what the agents have attached, by node, and why those of other nodes could not be asked. A node has an agent if one has reported.
func (s *source) askAgents(ctx context.Context, w *invariants.World) (map[string][]agentapi.Attached, []error) {
	pods := map[string]*corev1.Pod{}
	for i := range w.Pods {
		if pod := &w.Pods[i]; isAgent(pod) && pods[pod.Spec.NodeName] == nil {
			pods[pod.Spec.NodeName] = pod
		}
	}
	attached, failures := map[string][]agentapi.Attached{}, make([]error, len(w.Reports))
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(maxAsking)
	for i := range w.Reports {
		node := w.Reports[i].Name
		group.Go(func() error {
			all, err := s.ask(ctx, pods[node])
			if err != nil {
				failures[i] = fmt.Errorf("node %s: %w", node, err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			attached[node] = all
			return nil
		})
	}
	_ = group.Wait() // failures has them all
	var unasked []error
	for _, err := range failures {
		if err != nil {
			unasked = append(unasked, err)
		}
	}
	return attached, unasked
}

// isAgent tells whether the pod is an agent that runs.
func isAgent(pod *corev1.Pod) bool {
	return pod.Labels["app.kubernetes.io/name"] == "macpool" && pod.Labels["app.kubernetes.io/component"] == "agent" &&
		pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp.IsZero()
}

var errNoPod = errors.New("no pod of the agent runs there")

func (s *source) ask(ctx context.Context, pod *corev1.Pod) ([]agentapi.Attached, error) {
	if pod == nil {
		return nil, errNoPod
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	out, err := s.Exec(ctx, pod, "agent", "/agent", "attachments")
	if err != nil {
		return nil, err
	}
	var all []agentapi.Attached
	lines := json.NewDecoder(bytes.NewReader(out))
	for {
		var a agentapi.Attached
		if err := lines.Decode(&a); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading what the agent says: %w", err)
		}
		all = append(all, a)
	}
}
