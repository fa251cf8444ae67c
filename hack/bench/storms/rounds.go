// SPDX-License-Identifier: Apache-2.0

package storms

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/farm"
)

// The series.
const (
	staticStorm  = "static: storm"
	staticWide   = "static: 128 pods × 16"
	storm        = "macpool: storm"
	again        = "macpool: storm of the same identities"
	powerCycle   = "macpool: storm after a power cycle"
	unboundStorm = "macpool: unbound storm"
	wide         = "macpool: 128 pods × 16"

	podsMade     = "pods made and scheduled"
	podsAgain    = "pods made again and scheduled"
	boundAfter   = "the last claim held, after the last pod"
	againAfter   = "the last claim held again, after the last pod"
	detached     = "DEL of all"
	agentsReady  = "all agents ready after the power cycle"
	boundWide    = "the last of 2,048 claims held, after the last pod"
	podsMadeWide = "128 pods made and scheduled"
)

// floor is the storm of the static plugin. It needs no pods of the API.
func (s *section) floor(ctx context.Context, round int) error {
	pool := &farm.Pool{Name: "static"}
	all, err := s.attempts(pool.Plain("static", "net", pods), fmt.Sprintf("static-%d", round), 0)
	if err != nil {
		return err
	}
	w, err := s.counted(ctx, round, staticStorm, func() *farm.Wave {
		return farm.AtOnce(len(all), func(i int) error { return s.addOne(ctx, all[i], s.static, "net1", pool.StaticConf(i)) })
	})
	if err != nil {
		return err
	}
	s.curve(round, "static", w)
	if err := s.close(all); err != nil || round >= wideRounds {
		return err
	}
	if all, err = s.attempts(pool.Plain("static", "net", widePods), fmt.Sprintf("static-wide-%d", round), 0); err != nil {
		return err
	}
	if _, err := s.counted(ctx, round, staticWide, func() *farm.Wave {
		return s.wideWave(ctx, all, s.static, func(i, k int) []byte { return pool.StaticConf(wideInterfaces*i + k) })
	}); err != nil {
		return err
	}
	return s.close(all)
}

// storm is the thousand pods with the manager: made, made again, and after a power cycle.
func (s *section) storm(ctx context.Context, round int) error {
	pool, err := s.Pool(ctx, fmt.Sprintf("storm-%d", round), pods)
	if err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	claims := pool.Follow(following)
	first, err := pool.Replicas(ctx, "web", "net", pods)
	if err != nil {
		return err
	}
	if err := s.made(ctx, round, first, claims, podsMade, boundAfter); err != nil {
		return err
	}
	one, err := s.attempts(first, pool.Name+"-first", 0)
	if err != nil {
		return err
	}
	w, err := s.counted(ctx, round, storm, func() *farm.Wave { return s.persistAll(ctx, pool, one) })
	if err != nil {
		return err
	}
	s.again(round, storm, one)
	s.curve(round, "macpool", w)
	if err := s.judge(one, claims, 1); err != nil {
		return err
	}

	if err := s.add(round, detached, s.dels(ctx, pool, one)); err != nil {
		return err
	}
	if err := s.close(one); err != nil {
		return err
	}
	if err := s.Remove(ctx, first); err != nil {
		return err
	}
	second := farm.Again(first)
	if err := s.made(ctx, round, second, claims, podsAgain, againAfter); err != nil {
		return err
	}
	two, err := s.attempts(second, pool.Name+"-second", 1)
	if err != nil {
		return err
	}
	w, err = s.counted(ctx, round, again, func() *farm.Wave { return s.persistAll(ctx, pool, two) })
	if err != nil {
		return err
	}
	s.again(round, again, two)
	s.curve(round, "macpool, again", w)
	if err := s.judge(two, claims, 1); err != nil {
		return err
	}
	return s.cyclePower(ctx, round, pool, claims, second, two)
}

// cyclePower takes agents and sandboxes away, starts the agents, and attaches all anew.
func (s *section) cyclePower(ctx context.Context, round int, pool *farm.Pool, claims *farm.Claims, pods []*corev1.Pod, before []*attempt) error {
	for _, n := range s.Nodes {
		n.Agent.Kill()
	}
	if err := s.close(before); err != nil {
		return err
	}
	began := time.Now()
	if err := s.Each(ctx, nodes, func(n *lab.Node, ctx context.Context) error { return n.RunAgent(ctx) }); err != nil {
		return err
	}
	s.seconds(round, agentsReady, time.Since(began).Seconds())
	all, err := s.attempts(pods, pool.Name+"-third", 2)
	if err != nil {
		return err
	}
	if _, err := s.counted(ctx, round, powerCycle, func() *farm.Wave { return s.persistAll(ctx, pool, all) }); err != nil {
		return err
	}
	s.again(round, powerCycle, all)
	if err := s.judge(all, claims, 1); err != nil {
		return err
	}
	return s.over(ctx, pool, pods, all)
}

// over detaches and removes what a round has left.
func (s *section) over(ctx context.Context, pool *farm.Pool, pods []*corev1.Pod, all []*attempt) error {
	if w := s.dels(ctx, pool, all); len(w.Failed) > 0 {
		return w.Failed[0]
	}
	if err := s.close(all); err != nil {
		return err
	}
	return s.Remove(ctx, pods)
}

// made makes pods, and waits until they hold their claims.
func (s *section) made(ctx context.Context, round int, pods []*corev1.Pod, claims *farm.Claims, making, holding string) error {
	began := time.Now()
	if err := s.Create(ctx, pods); err != nil {
		return err
	}
	made := time.Now()
	uids := map[string]bool{}
	for _, pod := range pods {
		uids[string(pod.UID)] = true
	}
	interfaces := 1
	if len(pods) == widePods {
		interfaces = wideInterfaces
	}
	if err := claims.Await(ctx, interfaces*len(pods), "held", farm.HeldBy(uids)); err != nil {
		return err
	}
	s.seconds(round, making, made.Sub(began).Seconds())
	s.seconds(round, holding, time.Since(made).Seconds())
	return nil
}

// unbound is the storm without a manager.
func (s *section) unbound(ctx context.Context, round int) error {
	if round >= unboundRounds {
		return nil
	}
	pool, err := s.Pool(ctx, fmt.Sprintf("unbound-%d", round), pods)
	if err != nil {
		return err
	}
	if err := s.Manager.Stop(ctx); err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	claims := pool.Follow(following)
	waiting, err := pool.Replicas(ctx, "web", "net", pods)
	if err != nil {
		return err
	}
	if err := s.Create(ctx, waiting); err != nil {
		return err
	}
	all, err := s.attempts(waiting, pool.Name, 0)
	if err != nil {
		return err
	}
	w, err := s.counted(ctx, round, unboundStorm, func() *farm.Wave { return s.persistAll(ctx, pool, all) })
	if err != nil {
		return err
	}
	s.again(round, unboundStorm, all)
	s.curve(round, "macpool, unbound", w)
	if err := claims.Await(ctx, pods, "held", farm.Held); err != nil {
		return err
	}
	if err := s.judge(all, claims, 1); err != nil {
		return err
	}
	if err := s.over(ctx, pool, waiting, all); err != nil {
		return err
	}
	return s.StartManager(ctx)
}
