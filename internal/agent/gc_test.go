// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// aliveNetNS stands for a network namespace that is alive as long as the test. The test's own network namespace is the node's, which no pod
// may have; another namespace looks the same to who only asks whether it is alive.
const aliveNetNS = "/proc/self/ns/uts"

// TestGC proves R-C13: of this network, what the runtime does not call valid, is old enough and is seen to have no netns any more is
// detached, and nothing else; an empty list while something is alive detaches nothing (M22).
func TestGC(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.NetNSDirs = append(o.NetNSDirs, "/no-such-mount") })
	pods := map[string]*corev1.Pod{}
	attach := func(container, netns, network string) {
		t.Helper()
		pods[container] = f.newPod(t, container, n.name, "")
		req := f.addition(container, pods[container])
		req.NetNS, req.Network = netns, network
		if resp := n.ask(t, req); resp.Error != nil {
			t.Fatal(*resp.Error)
		}
	}
	attach("valid", goneNetNS, "iot-vlan")
	attach("alive", aliveNetNS, "iot-vlan")
	attach("stale", goneNetNS, "iot-vlan")
	leftFile := fmt.Sprintf("%sleft-%d", goneNetNS, os.Getpid())
	attach("left", leftFile, "iot-vlan")
	if err := os.WriteFile(leftFile, nil, 0o600); err != nil { // what a mount leaves behind
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(leftFile) })
	attach("unseen", "/no-such-mount/netns", "iot-vlan")
	attach("other-network", goneNetNS, "office-vlan")

	gc := func(valid ...string) agentapi.Response {
		req := agentapi.Request{Command: agentapi.GC, Network: "iot-vlan"}
		for _, v := range valid {
			req.Valid = append(req.Valid, agentapi.Attachment{ContainerID: v, Interface: "net1"})
		}
		return n.ask(t, req)
	}
	stillAttached := func(want ...string) {
		t.Helper()
		wanted := map[string]bool{}
		for _, w := range want {
			wanted[w] = true
		}
		for container := range pods {
			entry, _ := n.agent.journal.get(attemptKey{container, "net1"})
			if got := entry.State == attached; got != wanted[container] {
				t.Errorf("%s is attached: %t, want %t", container, got, wanted[container])
			}
		}
	}

	if resp := gc("valid"); resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	stillAttached("valid", "alive", "stale", "left", "unseen", "other-network") // all are young

	n.clock.ahead.Store(int64(2 * time.Minute))
	wantProblem(t, gc(), problem.StillAttached)
	stillAttached("valid", "alive", "stale", "left", "unseen", "other-network")

	if resp := gc("valid"); resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	stillAttached("valid", "alive", "unseen", "other-network")
	for _, container := range []string{"stale", "left"} {
		f.awaitNoHolder(t, pods[container])
	}

	// With nothing alive an empty list is believed.
	if resp := n.ask(t, agentapi.Request{Command: agentapi.GC, Network: "office-vlan"}); resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	f.awaitNoHolder(t, pods["other-network"])
	stillAttached("valid", "alive", "unseen")
}

// TestReaper proves R-G1 to R-G3 on a node: a holder without a container, and a container whose DEL was lost, end when the pod is gone,
// and not before it was gone for two looks.
func TestReaper(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	attachIn := func(pod *corev1.Pod, netns string) {
		t.Helper()
		req := f.addition(pod.Name, pod)
		req.NetNS = netns
		if resp := n.ask(t, req); resp.Error != nil {
			t.Fatal(*resp.Error)
		}
	}
	never := f.newPod(t, "never-attached", n.name, "")
	f.prebind(t, n, never)
	waiting := f.newPod(t, "still-waiting", n.name, "")
	f.prebind(t, n, waiting)
	lost := f.newPod(t, "del-lost", n.name, "")
	attachIn(lost, goneNetNS)
	alive := f.newPod(t, "sandbox-alive", n.name, "")
	attachIn(alive, aliveNetNS)
	running := f.newPod(t, "running", n.name, "")
	attachIn(running, goneNetNS)
	finished := f.newPod(t, "finished", n.name, "")
	f.prebind(t, n, finished)
	finished.Status.Phase = corev1.PodFailed
	f.must(t, f.Status().Update(t.Context(), finished))

	start := time.Now()
	for _, pod := range []*corev1.Pod{never, lost, alive} {
		f.deletePod(t, pod)
	}
	for _, pod := range []*corev1.Pod{never, lost, finished} {
		f.awaitNoHolder(t, pod)
	}
	if took := time.Since(start); took < n.options.Times.ReapGrace {
		t.Errorf("the last of them was given up after %s, before the grace of %s", took, n.options.Times.ReapGrace)
	}
	for _, pod := range []*corev1.Pod{waiting, alive, running} {
		if f.claimOf(t, pod).Status.Holder == nil {
			t.Errorf("%s has lost its holder", pod.Name)
		}
	}
	// The sandbox of a deleted pod is alive until its DEL.
	del(t, n, alive.Name)
	f.awaitNoHolder(t, alive)
}

// TestReaperLooksTwice proves R-G3: a pod that is there again at the second look keeps what it has.
func TestReaperLooksTwice(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.Reap = time.Hour })
	pod := f.newPod(t, "db-0", n.name, "db")
	claim := f.prebind(t, n, pod)
	r := &reaper{Agent: n.agent, seen: map[suspect]time.Time{}}
	s := suspect{
		claim: agentapi.ClaimRef{Namespace: claim.Namespace, Name: claim.Name}, pod: podRef(pod), generation: 1,
	}
	if over, err := r.judge(t.Context(), s, true); err != nil || over {
		t.Errorf("the second look at a pod that is there: over = %t, %v", over, err)
	}
	f.deletePod(t, pod)
	if over, err := r.judge(t.Context(), s, false); err != nil || !over {
		t.Errorf("the first look at a pod that is gone: over = %t, %v", over, err)
	}
	if len(n.agent.journal.in(detached)) > 0 {
		t.Error("one look was enough")
	}
	if over, err := r.judge(t.Context(), s, true); err != nil || !over {
		t.Errorf("the second look at a pod that is gone: over = %t, %v", over, err)
	}
	f.awaitNoHolder(t, pod)
}

// TestReaperLooksAtSeveralAtOnce: with an API server that is slow to answer, what hundreds of lost DELs have left would otherwise wait for minutes
// (F20).
func TestReaperLooksAtSeveralAtOnce(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.Reap = time.Hour })
	var pods []*corev1.Pod
	for _, name := range []string{"one", "two", "three"} {
		pod := f.newPod(t, name, n.name, "")
		f.prebind(t, n, pod)
		pods = append(pods, pod)
	}
	r := &reaper{Agent: n.agent, seen: map[suspect]time.Time{}}
	for _, pod := range pods {
		f.deletePod(t, pod)
	}
	eventually(t, "the cache to know that the pods are gone", func() error {
		for _, pod := range pods {
			if r.podRuns(t.Context(), podRef(pod)) {
				return errNotReady
			}
		}
		return nil
	})
	var waiting atomic.Int32
	all := make(chan struct{})
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.Contains(req.URL.Path, "/pods/") {
			if int(waiting.Add(1)) == len(pods) {
				close(all)
			}
			select {
			case <-all:
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		}
		return next.RoundTrip(req)
	})
	r.look(t.Context())
	n.wire.hook(nil)
	if len(r.seen) != len(pods) {
		t.Errorf("of %d pods that are gone one look has found %d", len(pods), len(r.seen))
	}
}

// TestSpool proves R-C6 for the plugin's half: DELs that it left while the agent was away are applied at the start and while
// the agent runs, and what is no DEL does nothing.
func TestSpool(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	first, second := f.newPod(t, "first", n.name, ""), f.newPod(t, "second", n.name, "")
	f.add(t, n, "c1", first)
	f.add(t, n, "c2", second)
	spool := filepath.Join(n.options.StateDir, agentapi.SpoolDir)
	if err := os.MkdirAll(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	leave := func(name, content string) string {
		t.Helper()
		path := filepath.Join(spool, name)
		if err := os.WriteFile(path+".tmp", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := func(path string) func() error {
		return func() error {
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				return fmt.Errorf("%s is still there: %w", path, err)
			}
			return nil
		}
	}

	n.stop()
	path := leave("del-1", `{"command":"DEL","containerID":"c1","interface":"net1"}`)
	n.start(t)
	eventually(t, "the DEL of before the start", gone(path))
	f.awaitNoHolder(t, first)

	path = leave("del-2", `{"command":"DEL","containerID":"c2","interface":"net1"}`)
	eventually(t, "the DEL while running", gone(path))
	f.awaitNoHolder(t, second)

	n.awaitReady(t)
	third := f.newPod(t, "third", n.name, "")
	for name, content := range map[string]string{"junk": "DEL", "add": `{"command":"ADD","containerID":"c3","interface":"net1"}`} {
		path := leave(name, content)
		old := n.clock.Now().Add(-time.Hour)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" to be set aside", gone(path))
		if _, err := os.Lstat(filepath.Join(spool, spoolRejected+name)); err != nil {
			t.Error(err)
		}
	}
	f.add(t, n, "c3", third)
}
