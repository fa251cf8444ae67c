// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"

	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/e2e/lab"
)

// plane is etcd and kube-apiserver as processes that can be killed, paused and started again, with what they had or with
// what they had earlier. The API server writes its audit log to a pipe.
type plane struct {
	dir, root string
	assets    string
	url       string
	ca        []byte
	admin     *rest.Config
	auditIn   *os.File
	auditOut  *os.File

	etcdURL, peerURL string

	mu        sync.Mutex
	etcd, api *lab.Process
}

const adminToken = "chaos-admin"

// startPlane starts both on free ports of 127.0.0.1.
func startPlane(ctx context.Context, dir string, o lab.Options) (*plane, error) {
	p := &plane{dir: filepath.Join(dir, "plane"), root: o.Root, assets: o.Assets}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	var ports [3]string
	for i := range ports {
		address, err := lab.FreeAddress(ctx)
		if err != nil {
			return nil, err
		}
		ports[i] = address
	}
	p.etcdURL, p.peerURL, p.url = "http://"+ports[0], "http://"+ports[1], "https://"+ports[2]
	if err := p.writeFiles(); err != nil {
		return nil, err
	}
	var err error
	if p.auditOut, p.auditIn, err = os.Pipe(); err != nil {
		return nil, err
	}
	p.admin = &rest.Config{
		Host: p.url, BearerToken: adminToken, TLSClientConfig: rest.TLSClientConfig{CAData: p.ca}, QPS: -1, UserAgent: "chaos",
	}
	if err := p.startEtcd(); err != nil {
		return nil, err
	}
	if err := p.startAPI(); err != nil {
		return nil, err
	}
	return p, p.awaitAPI(ctx)
}

// auditPolicy records who wrote what to macpool's objects, with what was written. The rest would be noise.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
omitManagedFields: true
rules:
  - level: RequestResponse
    verbs: [create, update, patch, delete, deletecollection]
    resources: [{group: macpool.dev, resources: [macleases, macclaims, macclaims/status]}]
  - level: None
`

func (p *plane) writeFiles() error {
	cert, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"})
	if err != nil {
		return err
	}
	p.ca = cert
	sa, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(sa)})
	public, err := x509.MarshalPKIXPublicKey(&sa.PublicKey)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"tls.crt": cert, "tls.key": key, "sa.key": private,
		"sa.pub":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"tokens.csv": []byte(adminToken + `,chaos,chaos,"system:masters"` + "\n"),
		"audit.yaml": []byte(auditPolicy),
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (p *plane) dataDir() string { return filepath.Join(p.dir, "etcd") }

func (p *plane) startEtcd() error {
	proc, err := lab.StartProcess(p.dir, lab.Command{
		Name: "etcd", Path: filepath.Join(p.assets, "etcd"),
		Args: []string{
			"--data-dir=" + p.dataDir(), "--listen-client-urls=" + p.etcdURL, "--advertise-client-urls=" + p.etcdURL,
			"--listen-peer-urls=" + p.peerURL, "--initial-advertise-peer-urls=" + p.peerURL, "--initial-cluster=default=" + p.peerURL,
			// In memory: a killed process loses nothing, and a machine that loses power is not what is tried here.
			"--unsafe-no-fsync", "--log-level=error", "--quota-backend-bytes=8589934592",
		},
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.etcd = proc
	return nil
}

func (p *plane) startAPI() error {
	file := func(name string) string { return filepath.Join(p.dir, name) }
	proc, err := lab.StartProcess(p.dir, lab.Command{
		Name: "kube-apiserver", Path: filepath.Join(p.assets, "kube-apiserver"), Out: p.auditIn,
		Env: []string{"GOGC=400"},
		Args: []string{
			"--etcd-servers=" + p.etcdURL, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
			"--secure-port=" + p.url[strings.LastIndexByte(p.url, ':')+1:],
			"--tls-cert-file=" + file("tls.crt"), "--tls-private-key-file=" + file("tls.key"), "--cert-dir=" + p.dir,
			"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + file("sa.pub"),
			"--service-account-signing-key-file=" + file("sa.key"), "--service-cluster-ip-range=10.96.0.0/16",
			"--authorization-mode=RBAC", "--token-auth-file=" + file("tokens.csv"),
			"--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none", "--event-ttl=5m",
			"--audit-policy-file=" + file("audit.yaml"), "--audit-log-path=-", "--audit-log-mode=blocking",
			"--profiling=false", "--max-requests-inflight=1000", "--max-mutating-requests-inflight=1000",
		},
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.api = proc
	return nil
}

// process is etcd or kube-apiserver as it runs now.
func (p *plane) process(which string) *lab.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	if which == "etcd" {
		return p.etcd
	}
	return p.api
}

// awaitAPI waits until the API server is ready.
func (p *plane) awaitAPI(ctx context.Context) error {
	set, err := kubernetes.NewForConfig(p.admin)
	if err != nil {
		return err
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 90*time.Second, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if !p.process("kube-apiserver").Running() {
			return false, errors.New("it ended: " + p.process("kube-apiserver").Tail(10))
		}
		_, last = set.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the API server: %w (%w)", err, last)
	}
	return nil
}

// snapshot copies etcd's data as a crash would leave it.
func (p *plane) snapshot(name string) error {
	etcd := p.process("etcd")
	etcd.Pause()
	defer etcd.Resume()
	return copyDir(p.dataDir(), filepath.Join(p.dir, name))
}

// restore lets etcd and the API server begin again from a snapshot: the API goes back in time.
func (p *plane) restore(ctx context.Context, name string) error {
	p.process("kube-apiserver").Kill()
	p.process("etcd").Kill()
	if err := os.RemoveAll(p.dataDir()); err != nil {
		return err
	}
	if err := copyDir(filepath.Join(p.dir, name), p.dataDir()); err != nil {
		return err
	}
	if err := p.startEtcd(); err != nil {
		return err
	}
	if err := p.startAPI(); err != nil {
		return err
	}
	return p.awaitAPI(ctx)
}

func copyDir(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil { //nolint:noctx // it ends by itself
		return fmt.Errorf("copying %s: %w: %s", from, err, bytes.TrimSpace(out))
	}
	return nil
}

// kubectl runs kubectl as the administrator.
func (p *plane) kubectl(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(p.assets, "kubectl"), append([]string{
		"--server=" + p.url, "--token=" + adminToken, "--certificate-authority=" + filepath.Join(p.dir, "tls.crt"), "--cache-dir=" + p.dir,
	}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+p.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// install applies macpool's definitions, roles and policies.
func (p *plane) install(ctx context.Context) error {
	if err := p.kubectl(ctx, "create", "namespace", lab.Namespace); err != nil {
		return err
	}
	for _, dir := range []string{"crd", "rbac", "agent", "policy"} {
		if err := p.kubectl(ctx, "apply", "--server-side", "-k", filepath.Join(p.root, "config", dir)); err != nil {
			return err
		}
	}
	if err := p.kubectl(ctx, "apply", "--server-side", "-f", filepath.Join(p.root, "e2e", "lab", "manifests", "nad-crd.yaml")); err != nil {
		return err
	}
	return p.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
}

// writeKubeconfig writes a kubeconfig that leads to a proxy, which gets the token of a service account. With a node, the token is
// bound to it.
func (p *plane) writeKubeconfig(ctx context.Context, path string, proxy *faultproxy.Proxy, account, node string, nodeUID types.UID) error {
	set, err := kubernetes.NewForConfig(p.admin)
	if err != nil {
		return err
	}
	seconds := int64(48 * 60 * 60)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if node != "" {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Node", APIVersion: "v1", Name: node, UID: nodeUID}
	}
	accounts := set.CoreV1().ServiceAccounts(lab.Namespace)
	_, _ = accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
	answer, err := accounts.CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	proxy.SetToken(answer.Status.Token)
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["chaos"] = &clientcmdapi.Cluster{Server: proxy.URL()}
	cfg.Contexts["chaos"] = &clientcmdapi.Context{Cluster: "chaos", Namespace: lab.Namespace}
	cfg.CurrentContext = "chaos"
	return clientcmd.WriteToFile(*cfg, path)
}
