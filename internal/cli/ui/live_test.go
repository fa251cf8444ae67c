// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/internal/cli"
)

// TestLive runs the command against a real API server: a page that is open follows what happens in the cluster, shows events, and says to
// who may not read the pools what they need.
func TestLive(t *testing.T) {
	environment := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "..", "..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	environment.ControlPlane.GetAPIServer().Configure().Set("authorization-mode", "RBAC")
	config, err := environment.Start()
	if err != nil {
		t.Fatalf("starting the control plane: %v", err)
	}
	t.Cleanup(func() { _ = environment.Stop() })
	admin, err := environment.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := environment.AddUser(envtest.User{Name: "nobody"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	api, err := client.New(config, client.Options{Scheme: cli.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}

	p := openTab(t, command(t, kubeconfig(t, admin)), "light")
	p.until("document.body.innerText.includes('There is no pool yet')")

	s := newSeed(t)
	pool := s.pool("iot", 50, "192.168.50.0/24", nil, nil)
	ready := pool.DeepCopy()
	pool.ObjectMeta = metav1.ObjectMeta{Name: "iot"}
	create(t, api, pool)
	pool.Status = ready.Status
	if err := api.Status().Update(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	p.until("document.documentElement.dataset.shown === 'iot 192.168.50.0/24 '")
	p.until("document.querySelector('[data-key=\"state-.\"]')?.innerText.includes('254')")

	l := s.lease(pool, 8, "home", "home-assistant", time.Hour, nil)
	l.UID = ""
	create(t, api, l)
	p.until("document.querySelector('[data-key=\"state-L\"]')?.innerText.includes('1')")
	if got := value[string](p, "[...document.querySelectorAll('[role=row]:not([hidden]) [role=gridcell]')][8].getAttribute('aria-label')"); got != "192.168.50.8, leased" {
		t.Errorf("the cell says %q", got)
	}
	s.released(l, time.Minute/2, false)
	if err := api.Update(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	p.until("document.querySelector('[data-key=\"state-C\"]')?.innerText.includes('1')")
	if err := api.Delete(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	p.until("document.querySelector('[data-key=\"state-.\"]')?.innerText.includes('254') && !document.querySelector('[data-key=\"state-C\"]')")
	if err := api.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	p.until("document.body.innerText.includes('There is no pool iot')")

	p = openTab(t, command(t, kubeconfig(t, nobody)), "dark")
	p.until("document.body.innerText.includes('Ask an administrator of the cluster for get, list and watch on all kinds of macpool.dev')")
	p.accessible()
}

func create(t *testing.T, api client.Client, object client.Object) {
	t.Helper()
	if err := api.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

func kubeconfig(t *testing.T, user *envtest.AuthenticatedUser) *genericclioptions.ConfigFlags {
	t.Helper()
	data, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig = &path
	return flags
}

// command runs kubectl macpool ui until the test ends, and returns the address that it prints.
func command(t *testing.T, config *genericclioptions.ConfigFlags) string {
	t.Helper()
	out := make(printed, 1)
	f := cli.NewFactory(genericiooptions.IOStreams{Out: out, ErrOut: t.Output()})
	f.Config = config
	c := New(f)
	c.SetArgs([]string{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the command ended with %v", err)
		}
	})
	select {
	case text := <-out:
		for word := range strings.FieldsSeq(text) {
			if strings.HasPrefix(word, "http://127.0.0.1:") {
				return word
			}
		}
		t.Fatalf("no address is printed, but %q", text)
	case err := <-ended:
		ended <- nil
		t.Fatalf("the command ended with %v", err)
	}
	return ""
}

// printed gets what is written, at once.
type printed chan string

func (p printed) Write(b []byte) (int, error) {
	select {
	case p <- string(b):
		return len(b), nil
	default:
		return 0, fmt.Errorf("nobody reads %q", b)
	}
}
