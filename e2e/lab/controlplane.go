// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	_ "embed" // the CRD of NetworkAttachmentDefinitions
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Namespace is where macpool runs.
const Namespace = "macpool-system"

//go:embed manifests/nad-crd.yaml
var nadCRD []byte

//go:embed manifests/audit.yaml
var auditPolicy string

// ControlPlane is etcd and kube-apiserver, with macpool's CRDs, roles and policies applied.
type ControlPlane struct {
	// Version is the API server's version.
	Version string
	// Etcd is the URL at which etcd serves clients, for who looks at what is stored, or puts there what would take long through the API.
	Etcd string

	admin      *rest.Config
	address    string
	kubeconfig string // the administrator's
	kubectl    string
	home       string // kubectl's, for its caches
	logs       []string
}

// startControlPlane starts etcd and kube-apiserver on free ports of 127.0.0.1 and applies what macpool needs.
func startControlPlane(ctx context.Context, dir string, o Options) (*ControlPlane, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(nadCRD, crd); err != nil {
		return nil, fmt.Errorf("reading the CRD of NetworkAttachmentDefinitions: %w", err)
	}
	notExisting := false
	env := &envtest.Environment{
		UseExistingCluster:       &notExisting,
		BinaryAssetsDirectory:    o.Assets,
		CRDs:                     []*apiextensionsv1.CustomResourceDefinition{crd},
		CRDDirectoryPaths:        []string{filepath.Join(o.Root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
	}
	c := &ControlPlane{
		kubeconfig: filepath.Join(dir, "admin.kubeconfig"), kubectl: filepath.Join(o.Assets, "kubectl"), home: dir,
		logs: []string{filepath.Join(dir, "kube-apiserver.log"), filepath.Join(dir, "etcd.log")},
	}
	apiserver, err := os.Create(c.logs[0])
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	etcd, err := os.Create(c.logs[1])
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	env.ControlPlane.GetAPIServer().Out, env.ControlPlane.GetAPIServer().Err = apiserver, apiserver
	env.ControlPlane.Etcd = &envtest.Etcd{Out: etcd, Err: etcd}
	if err := giveAddresses(ctx, env); err != nil {
		return nil, err
	}
	if o.State != "" {
		env.ControlPlane.Etcd.DataDir = filepath.Join(o.State, filepath.Base(dir)+"-etcd")
		if err := os.MkdirAll(env.ControlPlane.Etcd.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("making etcd's directory: %w", err)
		}
		env.ControlPlane.Etcd.Configure().Disable("unsafe-no-fsync") // envtest's default
	}
	if o.AuditLog != "" {
		policy := filepath.Join(dir, "audit.yaml")
		if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
			return nil, fmt.Errorf("writing the audit policy: %w", err)
		}
		env.ControlPlane.GetAPIServer().Configure().Set("audit-policy-file", policy).Set("audit-log-path", o.AuditLog).Set("audit-log-mode", "blocking")
	}
	if c.admin, err = env.Start(); err != nil {
		return nil, fmt.Errorf("starting etcd and kube-apiserver: %w; its log ends:\n%s", err, tail(c.logs[0], 15))
	}
	c.Etcd = env.ControlPlane.Etcd.URL.String()
	server, err := url.Parse(c.admin.Host)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	c.address = server.Host
	if err := os.WriteFile(c.kubeconfig, env.KubeConfig, 0o600); err != nil {
		return nil, fmt.Errorf("writing the administrator's kubeconfig: %w", err)
	}
	return c, c.install(ctx, o.Root)
}

// giveAddresses chooses where etcd and kube-apiserver listen. What envtest chooses may be the local end of somebody's connection when they start.
func giveAddresses(ctx context.Context, env *envtest.Environment) error {
	etcd, err := FreeAddress(ctx)
	if err != nil {
		return err
	}
	env.ControlPlane.Etcd.URL = &url.URL{Scheme: "http", Host: etcd}
	server, err := FreeAddress(ctx)
	if err != nil {
		return err
	}
	listens := &env.ControlPlane.GetAPIServer().ListenAddr
	listens.Address, listens.Port, err = net.SplitHostPort(server)
	return err
}

// install applies macpool's roles and policies with kubectl, as a person would.
func (c *ControlPlane) install(ctx context.Context, root string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	if err := cl.Create(ctx, ns); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating namespace %s: %w", Namespace, err)
	}
	// No kubelet runs the agents' DaemonSet here, node by node this program does; the policy on claims is bound to it.
	for _, dir := range []string{"rbac", "agent", "policy"} {
		path := filepath.Join(root, "config", dir)
		how := "-f"
		if _, err := os.Stat(filepath.Join(path, "kustomization.yaml")); err == nil {
			how = "-k"
		}
		if out, err := c.Kubectl(ctx, "apply", "--server-side", how, path); err != nil {
			return fmt.Errorf("applying config/%s: %w\n%s", dir, err, out)
		}
	}
	version, err := c.Kubectl(ctx, "version", "-o", "json")
	if err != nil {
		return fmt.Errorf("asking for the version: %w", err)
	}
	if c.Version, err = serverVersion(version); err != nil {
		return err
	}
	return awaitPolicy(ctx, cl)
}

// awaitPolicy waits until the API server enforces the policies on pods and on claims, some moments after they were created.
func awaitPolicy(ctx context.Context, c client.Client) error {
	probe := NewPod("default", "policy-probe", `[{"name": "none", "mac": "01:00:00:00:00:01"}]`)
	err := wait.PollUntilContextTimeout(ctx, pollInterval, 20*time.Second, true, func(ctx context.Context) (bool, error) {
		err := c.Create(ctx, probe.DeepCopy(), client.DryRunAll)
		return apierrors.IsInvalid(err) || apierrors.IsForbidden(err), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy on pods to refuse a multicast MAC: %w", err)
	}
	claim := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "policy-probe"},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "none"}},
	}
	if err := c.Create(ctx, claim); err != nil {
		return fmt.Errorf("creating a claim: %w", err)
	}
	claim.Status.Holder = &v1alpha1.Holder{PodName: "none", PodUID: "none", NodeName: "none", Interface: "net1", Generation: 1, Since: metav1.Now()}
	if err := c.Status().Update(ctx, claim); err != nil {
		return fmt.Errorf("holding a claim: %w", err)
	}
	err = wait.PollUntilContextTimeout(ctx, pollInterval, 20*time.Second, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsForbidden(c.Delete(ctx, claim, client.DryRunAll)), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy on claims to refuse the deletion of one that is held: %w", err)
	}
	claim.Status.Holder = nil
	if err := c.Status().Update(ctx, claim); err != nil {
		return fmt.Errorf("releasing a claim: %w", err)
	}
	if err := c.Delete(ctx, claim); err != nil {
		return fmt.Errorf("deleting a claim: %w", err)
	}
	return nil
}

// client is the administrator's client.
func (c *ControlPlane) client() (client.Client, error) { return c.WatchClient() }

// WatchClient is a client of the administrator that can also watch.
func (c *ControlPlane) WatchClient() (client.WithWatch, error) {
	scheme := k8sruntime.NewScheme()
	for _, add := range []func(*k8sruntime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, nadv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("making a scheme: %w", err)
		}
	}
	cfg := rest.CopyConfig(c.admin)
	cfg.QPS = -1 // the API server's own limits are enough
	cl, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making the administrator's client: %w", err)
	}
	return cl, nil
}

// Address is the host and port of the API server, in the control plane's network namespace.
func (c *ControlPlane) Address() string { return c.address }

// URL is the API server's URL there.
func (c *ControlPlane) URL() string { return "https://" + c.Address() }

// Tail is the end of the API server's log.
func (c *ControlPlane) Tail(lines int) string { return tail(c.logs[0], lines) }
