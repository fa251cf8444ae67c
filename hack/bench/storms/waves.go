// SPDX-License-Identifier: Apache-2.0

package storms

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/hack/bench/farm"
)

const (
	// maxTries bounds how often a sandbox is made again.
	maxTries = 5
	// tryAgain is the CNI error code that says so.
	tryAgain = `"code": 11,`
)

// attempt is a sandbox of a pod.
type attempt struct {
	index     int
	pod       *corev1.Pod
	container string
	netns     string
	// ips are what its ADDs were answered, by interface.
	ips []string
	// tries is how often it was made again.
	tries int
}

// attempts opens a sandbox for each pod. Each lies in another namespace than the pod's last one, so that its interface has another MAC.
func (s *section) attempts(pods []*corev1.Pod, what string, shift int) ([]*attempt, error) {
	all := make([]*attempt, len(pods))
	for i, pod := range pods {
		container := fmt.Sprintf("%s-%d", what, i)
		netns, err := s.sandboxes.Open((i+shift)%len(pods), container)
		if err != nil {
			return nil, err
		}
		all[i] = &attempt{index: i, pod: pod, container: container, netns: netns}
	}
	return all, nil
}

// close takes the sandboxes away, without telling anybody.
func (s *section) close(all []*attempt) error {
	for _, a := range all {
		if err := s.sandboxes.Close(a.netns); err != nil {
			return err
		}
	}
	return nil
}

// call makes an IPAM call.
func (s *section) call(ctx context.Context, a *attempt, command, plugin, iface string, conf []byte) ([]byte, error) {
	n := s.NodeOf(a.index)
	return (&farm.Call{
		Plugin: plugin, Command: command, Node: n, Runtime: s.runtimes[n.Name], Pod: a.pod, Container: a.container, NetNS: a.netns, Interface: iface, Conf: conf,
	}).Run(ctx)
}

// add makes an ADD and notes what was answered.
func (s *section) addOne(ctx context.Context, a *attempt, plugin, iface string, conf []byte) error {
	out, err := s.call(ctx, a, "ADD", plugin, iface, conf)
	if err != nil {
		return err
	}
	var result types100.Result
	if err := json.Unmarshal(out, &result); err != nil {
		return fmt.Errorf("reading the answer to %s: %w", a.pod.Name, err)
	}
	if len(result.IPs) != 1 {
		return fmt.Errorf("the answer to %s has %d addresses", a.pod.Name, len(result.IPs))
	}
	a.ips = append(a.ips, result.IPs[0].Address.IP.String())
	return nil
}

// persist is an ADD, and what kubelet does when it fails because it may work later: DEL, a new sandbox, and again.
func (s *section) persist(ctx context.Context, pool *farm.Pool, a *attempt) error {
	for {
		err := s.addOne(ctx, a, s.macpool, "net1", pool.Conf())
		if err == nil || a.tries >= maxTries || !strings.Contains(err.Error(), tryAgain) {
			return err
		}
		if _, err := s.call(ctx, a, "DEL", s.macpool, "net1", pool.Conf()); err != nil {
			return err
		}
		if err := s.sandboxes.Close(a.netns); err != nil {
			return err
		}
		a.tries++
		a.container = fmt.Sprintf("%s-again-%d-%d", pool.Name, a.index, a.tries)
		if a.netns, err = s.sandboxes.Open(a.index, a.container); err != nil {
			return err
		}
	}
}

// persistAll has all attach at once, and again where that fails.
func (s *section) persistAll(ctx context.Context, pool *farm.Pool, all []*attempt) *farm.Wave {
	return farm.AtOnce(len(all), func(i int) error { return s.persist(ctx, pool, all[i]) })
}

// again keeps how many sandboxes were made again.
func (s *section) again(round int, name string, all []*attempt) {
	tries := 0
	for _, a := range all {
		tries += a.tries
	}
	s.result.Get(name+": sandboxes made again", "sandboxes").Add(round, float64(tries))
	s.rig.Say("    %d sandboxes were made again", tries)
}

// dels detaches all at once.
func (s *section) dels(ctx context.Context, pool *farm.Pool, all []*attempt) *farm.Wave {
	return farm.AtOnce(len(all), func(i int) error {
		_, err := s.call(ctx, all[i], "DEL", s.macpool, "net1", pool.Conf())
		return err
	})
}

// judge compares what was answered with what the API says, and counts what two have.
func (s *section) judge(all []*attempt, claims *farm.Claims, interfaces int) error {
	byPod := map[string]map[string]bool{} // UID of the pod -> the addresses that its claims have
	macs := map[string]string{}
	ips := map[string]string{}
	for name, c := range claims.All() {
		if c.Status.Holder == nil {
			continue
		}
		uid := string(c.Status.Holder.PodUID)
		if byPod[uid] == nil {
			byPod[uid] = map[string]bool{}
		}
		for _, ip := range c.Status.IPs {
			byPod[uid][ip] = true
			if _, taken := ips[ip]; taken {
				s.duplicates++
			}
			ips[ip] = name
		}
		if _, taken := macs[c.Status.MAC]; taken {
			s.duplicates++
		}
		macs[c.Status.MAC] = name
	}
	answered := map[string]bool{}
	for _, a := range all {
		if len(a.ips) != interfaces {
			return fmt.Errorf("pod %s has %d addresses, not %d", a.pod.Name, len(a.ips), interfaces)
		}
		for _, ip := range a.ips {
			if answered[ip] {
				s.duplicates++
			}
			answered[ip] = true
			if !byPod[string(a.pod.UID)][ip] {
				return fmt.Errorf("pod %s was answered %s, and the API says %v", a.pod.Name, ip, byPod[string(a.pod.UID)])
			}
		}
	}
	return nil
}
