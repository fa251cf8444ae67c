// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/e2e/lab"
)

// Call is an IPAM call, as a main plugin makes it.
type Call struct {
	// Plugin is the path of the IPAM plugin.
	Plugin string
	// Command is ADD or DEL.
	Command   string
	Node      *lab.Node
	Runtime   *Runtime // the node's
	Pod       *corev1.Pod
	Container string
	NetNS     string
	Interface string
	Conf      []byte
}

// Run executes the plugin, and returns what it prints.
func (c *Call) Run(ctx context.Context) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Plugin) //nolint:gosec // a plugin of the laboratory
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Conf), &out, &errs
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"CNI_COMMAND=" + c.Command, "CNI_CONTAINERID=" + c.Container, "CNI_NETNS=" + c.NetNS, "CNI_IFNAME=" + c.Interface, "CNI_PATH=/nonexistent",
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=" + c.Pod.Namespace + ";K8S_POD_NAME=" + c.Pod.Name +
			";K8S_POD_INFRA_CONTAINER_ID=" + c.Container + ";K8S_POD_UID=" + string(c.Pod.UID),
		"MACPOOL_AGENT_SOCKET=" + c.Node.Socket(), "MACPOOL_STATE_DIR=" + c.Node.StateDir(),
	}
	if err := c.Runtime.run(cmd); err != nil {
		return nil, fmt.Errorf("%s of pod %s, %s: %w: %s%s", c.Command, c.Pod.Name, c.Interface, err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes(), nil
}

// Wave is how things went that were begun together.
type Wave struct {
	// Took is from the beginning to the last end.
	Took time.Duration
	// Ended is when each had ended, counted from the beginning of all; Each is how long each took.
	Ended, Each []time.Duration
	// Failed are the errors.
	Failed []error
}

// AtOnce does all at the same time, each in a goroutine that waits for the starting shot.
func AtOnce(count int, do func(i int) error) *Wave {
	w := &Wave{Ended: make([]time.Duration, count), Each: make([]time.Duration, count)}
	errs, shot, done := make([]error, count), make(chan struct{}), make(chan struct{})
	var begin time.Time
	for i := range count {
		go func() {
			<-shot
			began := time.Now()
			errs[i] = do(i)
			w.Ended[i], w.Each[i] = time.Since(begin), time.Since(began)
			done <- struct{}{}
		}()
	}
	begin = time.Now()
	close(shot)
	for range count {
		<-done
	}
	w.Took = time.Since(begin)
	for _, err := range errs {
		if err != nil {
			w.Failed = append(w.Failed, err)
		}
	}
	return w
}

// InWaves does them by width at a time, and waits for each wave's last. What is measured is the sum of the waves; before is called before each,
// and is not measured.
func InWaves(count, width int, before func(wave int) error, do func(i int) error) (*Wave, error) {
	all := &Wave{}
	for at, wave := 0, 0; at < count; at, wave = at+width, wave+1 {
		if before != nil {
			if err := before(wave); err != nil {
				return nil, err
			}
		}
		w := AtOnce(min(width, count-at), func(i int) error { return do(at + i) })
		all.Took += w.Took
		all.Each = append(all.Each, w.Each...)
		all.Failed = append(all.Failed, w.Failed...)
	}
	return all, nil
}
