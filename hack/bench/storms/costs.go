// SPDX-License-Identifier: Apache-2.0

package storms

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/hack/bench/farm"
	"github.com/macpool/macpool/hack/bench/rig"
)

// plugins stands for all that was executed and has ended.
const plugins = "plugins"

// programs are whose CPU time is told.
var programs = []string{plugins, "agent", "manager", "kube-apiserver", "etcd"}

// counted has a wave begin, and keeps what it took, what it cost and what it asked of the API server. Fifty agents ask a little whatever is
// attached; that is in it.
func (s *section) counted(ctx context.Context, round int, name string, do func() *farm.Wave) (*farm.Wave, error) {
	before, err := s.Requests(ctx)
	if err != nil {
		return nil, err
	}
	cpu, ended := rig.CPUSeconds(), endedCPU()
	w := do()
	for program, seconds := range rig.CPUSeconds() {
		s.result.Get(name+": CPU of "+program, "s").Add(round, seconds-cpu[program])
	}
	s.result.Get(name+": CPU of "+plugins, "s").Add(round, endedCPU()-ended)
	after, err := s.Requests(ctx)
	if err != nil {
		return nil, err
	}
	total := 0.0
	for request, n := range after.Since(before) {
		if _, resource, _ := strings.Cut(request, " "); strings.HasPrefix(resource, "mac") || strings.HasPrefix(resource, "pods") || resource == "namespaces" {
			total += n
			s.result.Get(name+": "+request, "requests").Add(round, n)
		}
	}
	s.result.Get(name+": requests", "requests").Add(round, total)
	if err := s.add(round, name, w); err != nil {
		return nil, err
	}
	s.rig.Say("    CPU: plugins %.2f s; requests: %.0f", endedCPU()-ended, total)
	return w, nil
}

// endedCPU is what the children have used that have ended.
func endedCPU() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
		panic(fmt.Sprintf("asking for the own children: %v", err)) // never: its arguments are good
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
