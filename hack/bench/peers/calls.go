// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// limits bound what a plugin that hangs can cost.
type limits struct {
	// call is how long a call may take: a kubelet's runtimeRequestTimeout.
	call time.Duration
	// batch is how long all calls of a batch may take.
	batch time.Duration
}

var kubelets = limits{call: 2 * time.Minute, batch: 4 * time.Minute}

// attachment is an interface of a pod that is to get its address.
type attachment struct {
	container, netns, namespace, pod, uid string
}

// ifName is the interface's name, that of the first network of a pod beside the cluster's own.
const ifName = "net1"

// args are what a runtime tells a main plugin, and that its IPAM plugin.
func (a *attachment) args(command, path string) *invoke.Args {
	return &invoke.Args{
		Command: command, ContainerID: a.container, NetNS: a.netns, IfName: ifName, Path: path,
		PluginArgs: [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", a.namespace},
			{"K8S_POD_NAME", a.pod},
			{"K8S_POD_INFRA_CONTAINER_ID", a.container},
			{"K8S_POD_UID", a.uid},
		},
	}
}

// batch is what became of one call for each attachment.
type batch struct {
	took []float64 // milliseconds, of those that succeeded
	wall time.Duration
	errs []error
	// slow: a call was cut off, or not begun because the time of all was up.
	slow bool
	// twice is how many addresses were given to one who was not the first to get them.
	twice int
}

// rate is how many calls of a batch succeeded in a second.
func (b *batch) rate() float64 { return float64(len(b.took)) / b.wall.Seconds() }

// callAll makes one call for each attachment, by so many callers, each of which waits for the end of one before it makes the next.
func callAll(ctx context.Context, exec invoke.Exec, plugin string, conf []byte, command string, of []*attachment, callers int, l limits) *batch {
	ctx, cancel := context.WithTimeout(ctx, l.batch)
	defer cancel()
	var (
		b       batch
		mu      sync.Mutex
		given   = map[string]bool{}
		waiting = make(chan *attachment, len(of))
		calling sync.WaitGroup
	)
	for _, a := range of {
		waiting <- a
	}
	close(waiting)
	begin := time.Now()
	for range callers {
		calling.Go(func() {
			for a := range waiting {
				took, addresses, err := callOne(ctx, exec, plugin, conf, a.args(command, plugin), l.call)
				mu.Lock()
				if err == nil {
					b.took = append(b.took, float64(took.Microseconds())/1000)
				} else {
					b.errs = append(b.errs, err)
					b.slow = b.slow || errors.Is(err, context.DeadlineExceeded)
				}
				for _, address := range addresses {
					if given[address] {
						b.twice++
					}
					given[address] = true
				}
				mu.Unlock()
			}
		})
	}
	calling.Wait()
	b.wall = time.Since(begin)
	return &b
}

// callOne makes a call, and says which addresses it was answered with.
func callOne(ctx context.Context, exec invoke.Exec, plugin string, conf []byte, args *invoke.Args, limit time.Duration) (took time.Duration, addresses []string, err error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, fmt.Errorf("there was no time left for %s: %w", args.Command, err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begin := time.Now()
	if args.Command != "ADD" {
		err := invoke.ExecPluginWithoutResult(ctx, plugin, conf, args, exec)
		return time.Since(begin), nil, cutOff(ctx, err)
	}
	raw, err := invoke.ExecPluginWithResult(ctx, plugin, conf, args, exec)
	took = time.Since(begin)
	if err != nil {
		return took, nil, cutOff(ctx, err)
	}
	result, err := types100.NewResultFromResult(raw)
	if err != nil {
		return took, nil, fmt.Errorf("reading a result: %w", err)
	}
	if len(result.IPs) == 0 {
		return took, nil, errors.New("the result has no address")
	}
	for _, ip := range result.IPs {
		addresses = append(addresses, ip.Address.IP.String())
	}
	return took, addresses, nil
}

// cutOff says of a plugin that was killed why.
func cutOff(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("it was cut off: %w: %w", ctx.Err(), err)
}
