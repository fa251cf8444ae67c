// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/macpool/macpool/internal/problem"
)

const (
	installerContainer = "installer"
	// execLimit is how long one node may take.
	execLimit = 15 * time.Second
	// maxStderr is how much of a command's complaint is passed on.
	maxStderr = 200
)

// executor runs a command in a container, as kubectl exec does.
type executor func(ctx context.Context, pod *corev1.Pod, container string, command []string) ([]byte, error)

// newExecutor is an executor with the person's own rights.
func newExecutor(config *rest.Config) (executor, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return func(ctx context.Context, pod *corev1.Pod, container string, command []string) ([]byte, error) {
		url := clients.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
		spdy, err := remotecommand.NewSPDYExecutor(config, "POST", url)
		if err != nil {
			return nil, err
		}
		websocket, err := remotecommand.NewWebSocketExecutor(config, "GET", url.String())
		if err != nil {
			return nil, err
		}
		// The order of kubectl: WebSockets, and SPDY for servers and proxies that do not know them.
		exec, err := remotecommand.NewFallbackExecutor(websocket, spdy, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		})
		if err != nil {
			return nil, err
		}
		var stdout, stderr bytes.Buffer
		if err := exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}); err != nil {
			if said := strings.TrimSpace(stderr.String()); said != "" {
				return nil, fmt.Errorf("%w: %s", err, problem.Cut(strings.ReplaceAll(said, "\n", " "), maxStderr))
			}
			return nil, err
		}
		return stdout.Bytes(), nil
	}, nil
}

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
	text, err := exec(ctx, pod, installerContainer, []string{"/installer", "check", "-json"})
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
