// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// What happens to all at once, but for those that are cut off already, and the last, which remembers for how long.

func (s *striker) most() []*host { return s.hosts[:len(s.hosts)-1] }

// strikeAll does it, one thing after the other.
func (s *striker) strikeAll(mean time.Duration) {
	things := []func(){s.managerKilled, s.apiHangs, s.apiAway, s.binaryReplaced, s.managerPaused, s.rebootStorm}
	for i := 0; s.ctx.Err() == nil; i++ {
		s.pause(mean/2 + s.upTo(mean))
		if s.ctx.Err() == nil {
			things[i%len(things)]()
		}
	}
}

// everyMoment counts something that happens to all hosts at each moment at which calls are just then.
func (s *striker) everyMoment(id, class string) {
	s.struckBy(id, class, running)
	for _, h := range s.hosts {
		for _, f := range s.truth.flightsOn(h) {
			if m := s.moment(h, f); m != "" && m != running {
				s.struckBy(id, class, m)
			}
		}
	}
	s.say("%s (%s)", class, id)
}

func (s *striker) managerKilled() {
	m := &s.managers[s.rng.IntN(len(s.managers))]
	s.everyMoment("F11", "a manager of two SIGKILL")
	(*m).Kill()
	s.pause(s.upTo(2 * time.Second))
	if err := s.lab.StartManager(s.world.ctx); err != nil {
		s.violate(other, "starting a manager: %v", err)
	}
	*m = s.lab.Manager
}

func (s *striker) managerPaused() {
	m := s.managers[s.rng.IntN(len(s.managers))]
	s.everyMoment("F12", "a manager of two SIGSTOP for up to 6 s")
	m.Pause()
	s.pause(s.upTo(6 * time.Second))
	m.Resume()
}

// apiHangs stops the API server where it is.
func (s *striker) apiHangs() {
	s.everyMoment("F5", "API server SIGSTOP for up to 4 s")
	for _, pid := range pidsOf("kube-apiserver") {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	}
	s.pause(s.upTo(4 * time.Second))
}

// apiAway takes all nodes' way to it.
func (s *striker) apiAway() {
	for _, h := range s.most() {
		h.struck.Lock()
		defer h.struck.Unlock()
	}
	s.everyMoment("F5", "API server away from all nodes")
	for _, h := range s.most() {
		h.API.Cut()
		defer h.API.Heal()
	}
	s.pause(s.upTo(6 * time.Second))
}

// rebootStorm cuts the power of all hosts, and boots them together.
func (s *striker) rebootStorm() {
	for _, h := range s.most() {
		h.struck.Lock()
		defer h.struck.Unlock()
	}
	s.everyMoment("F39", "all nodes reboot")
	var all sync.WaitGroup
	for _, h := range s.most() {
		all.Go(func() {
			s.powerOff(h)
			s.powerOn(h)
		})
	}
	all.Wait()
}

// binaryReplaced installs the plugin again and again, as the installer does, for a second.
func (s *striker) binaryReplaced() {
	s.everyMoment("F40", "plugin's binary replaced in a loop")
	path := filepath.Join(options.Bin, "macpool")
	content, err := os.ReadFile(path)
	if err != nil {
		s.violate(other, "reading the plugin: %v", err)
		return
	}
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err := os.WriteFile(path+".new", content, 0o700); err != nil {
			s.violate(other, "writing the plugin: %v", err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			s.violate(other, "replacing the plugin: %v", err)
		}
	}
}

// pidsOf are the processes of a program.
func pidsOf(program string) []int {
	var all []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && command(filepath.Base(dir)) == program {
			all = append(all, pid)
		}
	}
	return all
}
