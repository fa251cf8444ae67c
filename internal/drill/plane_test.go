// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// plane is a control plane that can go back in time: etcd and kube-apiserver on a data directory of which a copy can be put
// back. Addresses, certificates and users stay the same across that.
type plane struct {
	t      *testing.T
	env    *envtest.Environment
	dir    string
	config *rest.Config
}

func startPlane(t *testing.T) *plane {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test")
	}
	p := &plane{t: t, dir: t.TempDir()}
	certs := filepath.Join(p.dir, "certs")
	for _, dir := range []string{p.etcdDir(), certs} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.env = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases"), filepath.Join("..", "..", "e2e", "lab", "manifests", "nad-crd.yaml")},
		ErrorIfCRDPathMissing: true,
		// A machine that runs other tests too needs a minute.
		ControlPlaneStartTimeout: 2 * time.Minute,
	}
	p.env.ControlPlane.GetAPIServer().CertDir = certs
	p.env.ControlPlane.Etcd = &envtest.Etcd{DataDir: p.etcdDir()}
	p.env.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync")
	config, err := p.env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	p.config = rest.CopyConfig(config)
	p.config.QPS = -1
	return p
}

func (p *plane) etcdDir() string { return filepath.Join(p.dir, "etcd") }

// stop ends the API server, then etcd, as one does before a restore. At once: a graceful end waits for the watches.
func (p *plane) stop() {
	p.t.Helper()
	for _, c := range []struct {
		named string
		stop  func() error
	}{
		{p.env.ControlPlane.APIServer.CertDir, p.env.ControlPlane.APIServer.Stop}, {p.etcdDir(), p.env.ControlPlane.Etcd.Stop},
	} {
		for _, pid := range childrenWith(p.t, c.named) {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				p.t.Fatal(err)
			}
		}
		if err := c.stop(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// childrenWith are the processes that this one has started with an argument that contains the text.
func childrenWith(t *testing.T, text string) []int {
	t.Helper()
	statuses, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, path := range statuses {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (comm) state ppid ...
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		command, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || !bytes.Contains(command, []byte(text)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func (p *plane) start() {
	p.t.Helper()
	if err := p.env.ControlPlane.Etcd.Start(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.env.ControlPlane.APIServer.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// snapshot keeps a copy of the data directory, as that of a disk that is copied at one instant.
func (p *plane) snapshot(name string) {
	p.t.Helper()
	pids := childrenWith(p.t, p.etcdDir())
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			p.t.Fatal(err)
		}
	}
	copied := filepath.Join(p.dir, name)
	if err := errors.Join(os.RemoveAll(copied), os.CopyFS(copied, os.DirFS(p.etcdDir()))); err != nil {
		p.t.Error(err)
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGCONT); err != nil {
			p.t.Fatal(err)
		}
	}
}

// restore puts a copy in the data directory's place, between a stop and a start.
func (p *plane) restore(name string) {
	p.t.Helper()
	if err := os.RemoveAll(p.etcdDir()); err != nil {
		p.t.Fatal(err)
	}
	if err := os.CopyFS(p.etcdDir(), os.DirFS(filepath.Join(p.dir, name))); err != nil {
		p.t.Fatal(err)
	}
}
