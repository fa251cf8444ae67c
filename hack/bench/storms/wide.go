// SPDX-License-Identifier: Apache-2.0

package storms

import (
	"context"
	"fmt"
	"strings"

	"github.com/macpool/macpool/hack/bench/farm"
)

// wide is 128 pods with 16 interfaces each on two nodes.
func (s *section) wide(ctx context.Context, round int) error {
	if round >= wideRounds {
		return nil
	}
	pool, err := s.Pool(ctx, fmt.Sprintf("wide-%d", round), widePods*wideInterfaces)
	if err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	claims := pool.Follow(following)
	var networks []string
	for range wideInterfaces {
		networks = append(networks, "net")
	}
	waiting, err := pool.Replicas(ctx, "wide", strings.Join(networks, ","), widePods)
	if err != nil {
		return err
	}
	whole := s.Nodes
	s.Nodes = whole[:wideNodes]
	defer func() { s.Nodes = whole }()
	if err := s.made(ctx, round, waiting, claims, podsMadeWide, boundWide); err != nil {
		return err
	}
	all, err := s.attempts(waiting, pool.Name, 0)
	if err != nil {
		return err
	}
	if _, err := s.counted(ctx, round, wide, func() *farm.Wave {
		return s.wideWave(ctx, all, s.macpool, func(int, int) []byte { return pool.Conf() })
	}); err != nil {
		return err
	}
	if err := s.judge(all, claims, wideInterfaces); err != nil {
		return err
	}
	undo := farm.AtOnce(len(all), func(i int) error {
		for k := range wideInterfaces {
			if _, err := s.call(ctx, all[i], "DEL", s.macpool, fmt.Sprintf("net%d", k+1), pool.Conf()); err != nil {
				return err
			}
		}
		return nil
	})
	if len(undo.Failed) > 0 {
		return undo.Failed[0]
	}
	if err := s.close(all); err != nil {
		return err
	}
	return s.Remove(ctx, waiting)
}

// wideWave attaches all pods at once, and the interfaces of each one after the other, as Multus does.
func (s *section) wideWave(ctx context.Context, all []*attempt, plugin string, conf func(i, k int) []byte) *farm.Wave {
	return farm.AtOnce(len(all), func(i int) error {
		for k := range wideInterfaces {
			if err := s.addOne(ctx, all[i], plugin, fmt.Sprintf("net%d", k+1), conf(i, k)); err != nil {
				return err
			}
		}
		return nil
	})
}
