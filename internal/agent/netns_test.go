// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
)

// TestT14FakeNetNS is threat T14 (R-S7): an ADD with a path that is no pod's network namespace, where the agent would later look at
// interfaces and remove them. It is refused before anything is leased. A DEL with such a path succeeds, and ends the attempt that it names,
// and nothing else (R-C4).
func TestT14FakeNetNS(t *testing.T) {
	f, n := newFixture(t), startNode(t, func(o *Options) { o.NetNSDirs = nil })
	sandbox := netnstest.New(t)
	dir := filepath.Dir(sandbox.Path())
	// What somebody may have left where runtimes keep namespaces.
	in := func(name string) string { return filepath.Join(dir, fmt.Sprintf("macpool-%s-%d", name, os.Getpid())) }
	left := func(path string, err error) string {
		t.Helper()
		f.must(t, err)
		t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH); _ = os.Remove(path) })
		return path
	}
	own := left(in("own"), os.WriteFile(in("own"), nil, 0o600))
	f.must(t, unix.Mount("/proc/self/ns/net", own, "", unix.MS_BIND, ""))
	link := left(in("link"), os.Symlink("/proc/self/ns/net", in("link")))
	file := left(in("file"), os.WriteFile(in("file"), nil, 0o600))

	pod := f.newPod(t, "db-0", n.name, "db")
	tests := map[string]struct{ path, want string }{
		"none":                        {"", "there is none"},
		"relative":                    {strings.TrimPrefix(sandbox.Path(), "/"), "not an absolute path"},
		"up and out":                  {dir + "/../../proc/1/ns/net", "not an absolute path"},
		"with a detour":               {dir + "/./" + filepath.Base(sandbox.Path()), "not an absolute path"},
		"below a namespace":           {sandbox.Path() + "/net", "no runtime keeps"},
		"longer than a path":          {dir + "/" + strings.Repeat("x", unix.PathMax), "longer than a path"},
		"the directory itself":        {dir, "no runtime keeps"},
		"a tenant's volume":           {"/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/x/netns", "no runtime keeps"},
		"a container's root":          {"/run/containerd/io.containerd.runtime.v2.task/k8s.io/1/rootfs/netns", "no runtime keeps"},
		"a process' files":            {"/proc/1/root/run/netns/x", "no runtime keeps"},
		"another namespace":           {"/proc/1/ns/mnt", "no runtime keeps"},
		"the agent's own":             {"/proc/self/ns/net", "no runtime keeps"},
		"the node's, of a process":    {fmt.Sprintf("/proc/%d/ns/net", os.Getpid()), "that is the node's own"},
		"the node's, of a thread":     {fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), os.Getpid()), "that is the node's own"},
		"the node's, under a name":    {own, "that is the node's own"},
		"the node's, by a link":       {link, "that is the node's own"},
		"what is left of a namespace": {file, "it is no namespace"},
	}
	kept := f.addition("kept", pod)
	kept.NetNS = sandbox.Path()
	if resp := n.ask(t, kept); resp.Error != nil {
		t.Fatalf("the pod's own namespace: %+v", *resp.Error)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			other := f.newPod(t, fmt.Sprintf("web-%d", unique.Add(1)), n.name, "")
			req := f.addition("fake "+name, other)
			req.NetNS = tt.path
			resp := n.ask(t, req)
			wantProblem(t, resp, problem.ForeignNetNS)
			if resp.Error != nil && !strings.Contains(resp.Error.Message, tt.want) {
				t.Errorf("it is refused with %q, want %q", resp.Error.Message, tt.want)
			}
			if c := f.claimOf(t, other); c != nil {
				t.Errorf("there is a claim: %+v", c.Status)
			}
			gone := deletion(req.ContainerID)
			gone.NetNS = tt.path
			if resp := n.ask(t, gone); resp.Error != nil {
				t.Errorf("DEL: %+v", *resp.Error)
			}
			if err := isState(n, "kept", attached); err != nil {
				t.Error(err)
			}
		})
	}
	end := deletion("kept")
	end.NetNS = own
	if resp := n.ask(t, end); resp.Error != nil {
		t.Errorf("DEL: %+v", *resp.Error)
	}
	f.awaitNoHolder(t, pod)
}

// TestNetNSAlive is R-G1's evidence: gone is what was seen to be gone, and nothing else.
func TestNetNSAlive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "left")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/proc/self/ns/net":           true,
		"":                            true, // nobody has said where
		file:                          false,
		file + "-gone":                false,
		file + "-no-such-mount/netns": true,
		file + "/below-a-file":        true,
	} {
		if got := netnsAlive(path); got != want {
			t.Errorf("%q is alive: %v", path, got)
		}
	}
}
