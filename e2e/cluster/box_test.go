// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// patience is how long a test waits for what a healthy cluster does at once. A node that is lost takes 10 s to be noticed, and
// its pods as long again.
const patience = 2 * time.Minute

// cluster is the running cluster as its administrator has it.
type cluster struct {
	client.Client

	dir        string // its state: hack/cluster/lib.sh's RUN
	kubectlBin string
	multus     string
	routerMAC  string
}

// connect finds the cluster that hack/cluster has started.
func connect(ctx context.Context) (*cluster, error) {
	settings, err := exec.CommandContext(ctx, "bash", "-c",
		`. ../../hack/cluster/lib.sh && printf '%s\n' "$RUN" "$KUBE_BIN" "$MULTUS" "$ROUTER_MAC"`).Output()
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's settings: %w", err)
	}
	lines := strings.Split(string(settings), "\n")
	c := &cluster{dir: lines[0], kubectlBin: filepath.Join(lines[1], "kubectl"), multus: lines[2], routerMAC: lines[3]}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	c.Client, err = client.New(config, client.Options{Scheme: scheme})
	return c, err
}

func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "pki", "admin.kubeconfig") }

func (c *cluster) kubectlCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.kubectlBin, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig())
	return cmd
}

func (c *cluster) tryKubectl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := c.kubectlCommand(ctx, args...).CombinedOutput()
	return string(out), err
}

// kubectl is what a user types. It must succeed.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := box.tryKubectl(t.Context(), args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply applies YAML into a namespace.
func apply(t *testing.T, namespace, yaml string) {
	t.Helper()
	cmd := box.kubectlCommand(t.Context(), "apply", "-n", namespace, "-f", "-")
	cmd.Stdin = strings.NewReader(yaml)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// onNode runs a command inside node N.
func onNode(t *testing.T, node string, args ...string) string {
	t.Helper()
	out, err := tryOnNode(t.Context(), node, args...)
	if err != nil {
		t.Fatalf("on node %s: %s: %v\n%s", node, strings.Join(args, " "), err, out)
	}
	return out
}

func tryOnNode(ctx context.Context, node string, args ...string) (string, error) {
	args = append([]string{strings.TrimPrefix(node, "n")}, args...)
	out, err := exec.CommandContext(ctx, "../../hack/cluster/in-node.sh", args...).CombinedOutput()
	return string(out), err
}

// nodeRoot is the file system of a node, as its processes see it.
func nodeRoot(t *testing.T, node string) string {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(box.dir, "pid", node+".init"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join("/proc", strings.TrimSpace(string(pid)), "root")
}

// mustScript runs a script of hack/cluster.
func mustScript(t *testing.T, name string, args ...string) {
	t.Helper()
	if err := script(t.Context(), name, args...); err != nil {
		t.Fatalf("hack/cluster/%s %v: %v", name, args, err)
	}
}

// eventually polls until check has nothing to object to.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	eventuallyWithin(t, patience, what, check)
}

func eventuallyWithin(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting %s for %s: %v", limit, what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// newNamespace makes a namespace that goes with the test. Its pods are gone when the next test begins; the rest, for which Kubernetes takes its
// time, goes meanwhile.
func newNamespace(t *testing.T, name string) string {
	t.Helper()
	kubectl(t, "create", "namespace", name)
	t.Cleanup(func() {
		for _, args := range [][]string{
			{"delete", "namespace", name, "--wait=false"},
			{"wait", "--for=delete", "pod", "--all", "-n", name, "--timeout=100s"},
		} {
			if out, err := box.tryKubectl(context.Background(), args...); err != nil {
				t.Errorf("deleting namespace %s: %v\n%s", name, err, out)
			}
		}
	})
	return name
}

// logTable shows what a user would look at, in the test's log.
func logTable(t *testing.T, args ...string) {
	t.Helper()
	t.Logf("$ kubectl %s\n%s", strings.Join(args, " "), kubectl(t, args...))
}

var errNotYet = errors.New("not yet")
