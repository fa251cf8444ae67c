// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/macpool/macpool/internal/problem"
)

const (
	// maxOutput is how much a program in a container may say: some hundred bytes for each of a node's pods, many times over.
	maxOutput = 16 << 20

	// maxComplaint is how much of what it says of its failure is passed on.
	maxComplaint = 200
)

// Exec runs a program in a container with the person's own rights (pods/exec), as kubectl exec does, and returns what it writes. What it says
// of its failure is in the error.
func (f *Factory) Exec(ctx context.Context, pod *corev1.Pod, container string, command ...string) ([]byte, error) {
	config, err := f.RESTConfig()
	if err != nil {
		return nil, err
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	request := set.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := newExecutor(config, request.URL())
	if err != nil {
		return nil, fmt.Errorf("reaching pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	stdout, stderr := &bounded{}, &bounded{}
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: stdout, Stderr: stderr}); err != nil {
		if said := strings.TrimSpace(stderr.buffer.String()); said != "" {
			err = fmt.Errorf("%w: %s", err, problem.Cut(strings.ReplaceAll(said, "\n", " "), maxComplaint))
		}
		return nil, fmt.Errorf("running %s in pod %s/%s: %w", command[0], pod.Namespace, pod.Name, err)
	}
	return stdout.buffer.Bytes(), nil
}

// newExecutor is one in the order of kubectl: WebSockets, and SPDY for servers and proxies that do not know them.
func newExecutor(config *rest.Config, at *url.URL) (remotecommand.Executor, error) {
	spdy, err := remotecommand.NewSPDYExecutor(config, "POST", at)
	if err != nil {
		return nil, err
	}
	websocket, err := remotecommand.NewWebSocketExecutor(config, "GET", at.String())
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(websocket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

var errTooMuch = errors.New("it says more than can be right")

// bounded is a buffer that does not grow without end. It embeds none: io.Copy would fill that by its ReadFrom.
type bounded struct{ buffer bytes.Buffer }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.buffer.Len()+len(p) > maxOutput {
		return 0, errTooMuch
	}
	return b.buffer.Write(p)
}
