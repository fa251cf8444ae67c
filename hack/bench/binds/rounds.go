// SPDX-License-Identifier: Apache-2.0

package binds

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/farm"
	"github.com/macpool/macpool/hack/bench/rig"
	"github.com/macpool/macpool/internal/agentapi"
)

const (
	// poolSize is more than any round needs.
	poolSize = 4096
	// age is when a pod is older than those for which an agent waits a moment for the manager.
	age = 2500 * time.Millisecond
)

// prepare makes a pool for a round. For the bare writes and for the agents the manager goes away then.
func (s *section) prepare(ctx context.Context, name string, round int, manager bool) (*farm.Pool, error) {
	if !s.Manager.Running() {
		if err := s.StartManager(ctx); err != nil {
			return nil, err
		}
	}
	pool, err := s.Pool(ctx, fmt.Sprintf("%s-%d", name, round), poolSize)
	if err != nil || manager {
		return pool, err
	}
	return pool, s.Manager.Stop(ctx)
}

// bareAsManager makes the writes with the manager's credentials, all by one client.
func (s *section) bareAsManager(ctx context.Context, round int) error {
	pool, err := s.prepare(ctx, "bare-manager", round, false)
	if err != nil {
		return err
	}
	config, err := s.ManagerConfig()
	if err != nil {
		return err
	}
	return s.bare(ctx, asManager, round, pool, []*rest.Config{config})
}

// bareAsAgents makes them with the agents', each by its own way.
func (s *section) bareAsAgents(ctx context.Context, round int) error {
	pool, err := s.prepare(ctx, "bare-agents", round, false)
	if err != nil {
		return err
	}
	var configs []*rest.Config
	for _, n := range s.Nodes {
		config, err := n.Config()
		if err != nil {
			return err
		}
		configs = append(configs, config)
	}
	return s.bare(ctx, asAgents, round, pool, configs)
}

func (s *section) bare(ctx context.Context, name string, round int, pool *farm.Pool, configs []*rest.Config) error {
	b, err := newBare(configs, s.Nodes, pool)
	if err != nil {
		return err
	}
	done := 0
	for _, level := range levels {
		pods := pool.Plain(fmt.Sprintf("pod-%d", level.width), "net", level.count)
		if err := s.Create(ctx, pods); err != nil {
			return err
		}
		before := rig.CPUSeconds()
		w, err := farm.InWaves(level.count, level.width, nil, func(i int) error { return b.bind(ctx, done+i, pods[i]) })
		if err != nil {
			return err
		}
		if err := s.add(round, name, level.width, w, spent(before)); err != nil {
			return err
		}
		done += level.count
	}
	return nil
}

// agents has the agents bind, asked by their sockets, as the plugin does.
func (s *section) agents(ctx context.Context, round int) error {
	pool, err := s.prepare(ctx, "agents", round, false)
	if err != nil {
		return err
	}
	for _, level := range levels {
		// One for each agent goes ahead: what it lists serves for ten seconds.
		pods := pool.Plain(fmt.Sprintf("pod-%d", level.width), "net", level.count+nodes)
		if err := s.Create(ctx, pods); err != nil {
			return err
		}
		time.Sleep(age)
		for i := level.count; i < len(pods); i++ {
			if err := s.ask(ctx, pool, pods[i], s.NodeOf(i), fmt.Sprintf("%s-%d-%d", pool.Name, level.width, i)); err != nil {
				return err
			}
		}
		before := rig.CPUSeconds()
		w, err := farm.InWaves(level.count, level.width, nil, func(i int) error {
			return s.ask(ctx, pool, pods[i], s.NodeOf(i), fmt.Sprintf("%s-%d-%d", pool.Name, level.width, i))
		})
		if err != nil {
			return err
		}
		if err := s.add(round, byAgents, level.width, w, spent(before)); err != nil {
			return err
		}
	}
	return nil
}

// ask is an ADD, without the plugin around it.
func (s *section) ask(ctx context.Context, pool *farm.Pool, pod *corev1.Pod, n *lab.Node, container string) error {
	ctx, cancel := context.WithTimeout(ctx, agentapi.AddTimeout)
	defer cancel()
	var resp agentapi.Response
	err := n.Do(func() error {
		return agentapi.Exchange(ctx, n.Socket(), &agentapi.Request{
			Command: agentapi.Add, ContainerID: container, NetNS: s.sandbox, Interface: "net1", Network: "net", Pool: pool.Name,
			Pod: agentapi.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		}, &resp)
	})
	switch {
	case err != nil:
		return fmt.Errorf("asking the agent of %s: %w", n.Name, err)
	case resp.Error != nil:
		return fmt.Errorf("pod %s: %s: %s", pod.Name, resp.Error.Code, resp.Error.Message)
	case resp.Lease == nil:
		return errors.New("the agent answered without a lease")
	}
	return nil
}

// manager has the manager bind. Pods wait on their nodes for networks that are not there; with each network so many claims become due as are
// to be in flight. How long one takes counts from the write of the network.
func (s *section) manager(ctx context.Context, round int) error {
	pool, err := s.prepare(ctx, byManager, round, true)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	claims := pool.Follow(ctx)
	// After a start the manager waits for the word of all agents, before it binds anything.
	bound := 1
	if err := s.Create(ctx, pool.Plain("first", "net", bound)); err != nil {
		return err
	}
	if err := claims.Await(ctx, bound, "bound", farm.Held); err != nil {
		return err
	}
	for _, level := range levels {
		network := func(wave int) string { return fmt.Sprintf("net-%d-%d", level.width, wave) }
		var pods []*corev1.Pod
		for wave := range (level.count + level.width - 1) / level.width {
			pods = append(pods, pool.Plain(fmt.Sprintf("pod-%d-%d", level.width, wave), network(wave), level.width)...)
		}
		if err := s.Create(ctx, pods); err != nil {
			return err
		}
		if err := s.settle(ctx); err != nil {
			return err
		}
		before := rig.CPUSeconds()
		w := &farm.Wave{}
		for wave := range len(pods) / level.width {
			bound += level.width
			one := farm.AtOnce(1, func(int) error {
				if err := pool.Network(ctx, network(wave)); err != nil {
					return err
				}
				return claims.Await(ctx, bound, "bound", farm.Held)
			})
			w.Took += one.Took
			w.Failed = append(w.Failed, one.Failed...)
			for range level.width {
				w.Each = append(w.Each, one.Took)
			}
		}
		if err := s.add(round, byManager, level.width, w, spent(before)); err != nil {
			return err
		}
	}
	return nil
}
