// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	installerContainer = "installer"
	// execLimit is how long one node may take.
	execLimit = 15 * time.Second
)

// executor runs a command in a container, as kubectl exec does.
type executor func(ctx context.Context, pod *corev1.Pod, container string, command ...string) ([]byte, error)

// inspect asks the installers of all workers that have one, several at once. done is told after each.
func (s *state) inspect(ctx context.Context, exec executor, done func(asked, all int)) {
	s.installers = map[string]inspection{}
	pods := map[string]*corev1.Pod{}
	agents := s.agentPods()
	for _, node := range s.workers() {
		if pod := agents[node.Name]; pod != nil && hasInstaller(pod) {
			pods[node.Name] = pod
		}
	}
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		slots = make(chan struct{}, askAtOnce)
	)
	for node, pod := range pods {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answer := askInstaller(ctx, exec, pod)
			mu.Lock()
			defer mu.Unlock()
			s.installers[node] = answer
			done(len(s.installers), len(pods))
		})
	}
	wg.Wait()
}

// hasInstaller tells whether the pod has the sidecar; a DaemonSet of somebody's own may install otherwise.
func hasInstaller(pod *corev1.Pod) bool {
	for _, c := range pod.Spec.InitContainers {
		if c.Name == installerContainer {
			return true
		}
	}
	return false
}

func askInstaller(ctx context.Context, exec executor, pod *corev1.Pod) inspection {
	ctx, cancel := context.WithTimeout(ctx, execLimit)
	defer cancel()
	var answer inspection
	text, err := exec(ctx, pod, installerContainer, "/installer", "check", "-json")
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		answer.err = fmt.Errorf("pod %s/%s did not answer within %s", pod.Namespace, pod.Name, execLimit)
	case err != nil:
		answer.err = err
	default:
		if err := json.Unmarshal(text, &answer.Node); err != nil {
			answer.err = fmt.Errorf("reading the answer of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	return answer
}
