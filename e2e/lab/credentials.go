// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"os"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// credentials are those of a service account in macpool's namespace. With a node, the token is bound to it, and names it to
// admission policies as the token of a pod on that node would.
type credentials struct {
	serviceAccount string
	node           *Node
}

// tokenSeconds is longer than anybody looks at a laboratory.
const tokenSeconds = int64(24 * 60 * 60)

func (c *ControlPlane) token(ctx context.Context, who credentials) (string, error) {
	set, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return "", fmt.Errorf("making a client for tokens: %w", err)
	}
	accounts := set.CoreV1().ServiceAccounts(Namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: who.serviceAccount}}
	if _, err := accounts.Create(ctx, account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("creating service account %s: %w", who.serviceAccount, err)
	}
	seconds := tokenSeconds
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if who.node != nil {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{
			Kind: "Node", APIVersion: "v1", Name: who.node.Name, UID: types.UID(who.node.uid),
		}
	}
	answer, err := accounts.CreateToken(ctx, who.serviceAccount, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("getting a token of %s: %w", who.serviceAccount, err)
	}
	return answer.Status.Token, nil
}

// Stranger is a service account for programs that are not macpool's.
const Stranger = "stranger"

// WriteStrangerKubeconfig writes a kubeconfig by which a program on the node that is not macpool's reaches the API server, by the node's relay. It may
// do everything, and its default namespace is kube-system, where the likes of it are installed.
func (n *Node) WriteStrangerKubeconfig(ctx context.Context, path string) error {
	c := n.lab.API
	if err := c.writeKubeconfig(ctx, path, "https://"+n.API.Addr(), credentials{serviceAccount: Stranger}); err != nil {
		return err
	}
	account := "--serviceaccount=" + Namespace + ":" + Stranger
	if out, err := c.Kubectl(ctx, "create", "clusterrolebinding", Stranger+"-"+n.Name, "--clusterrole=cluster-admin", account); err != nil {
		return fmt.Errorf("making the stranger an administrator: %w: %s", err, out)
	}
	if out, err := c.Kubectl(ctx, "--kubeconfig="+path, "config", "set-context", "--current", "--namespace=kube-system"); err != nil {
		return fmt.Errorf("setting the stranger's namespace: %w: %s", err, out)
	}
	return nil
}

// writeKubeconfig writes a kubeconfig of a service account for a way to the API server.
func (c *ControlPlane) writeKubeconfig(ctx context.Context, path, server string, who credentials) error {
	token, err := c.token(ctx, who)
	if err != nil {
		return err
	}
	cfg := clientcmdapi.NewConfig()
	host, _, err := net.SplitHostPort(c.address)
	if err != nil {
		return fmt.Errorf("reading the API server's address: %w", err)
	}
	// The name in the certificate, whatever the address of the relay is.
	cfg.Clusters["lab"] = &clientcmdapi.Cluster{Server: server, TLSServerName: host, CertificateAuthorityData: c.admin.CAData}
	cfg.AuthInfos["lab"] = &clientcmdapi.AuthInfo{Token: token}
	cfg.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: "lab"}
	cfg.CurrentContext = "lab"
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", who.serviceAccount, err)
	}
	return nil
}

// PublishKubeconfig writes the administrator's kubeconfig where other terminals of the machine can read it.
func (c *ControlPlane) PublishKubeconfig(iso *Isolation) (string, error) {
	content, err := os.ReadFile(c.kubeconfig)
	if err != nil {
		return "", fmt.Errorf("reading the administrator's kubeconfig: %w", err)
	}
	if err := iso.Host.WriteFile("kubeconfig", content, 0o600); err != nil {
		return "", fmt.Errorf("publishing the kubeconfig: %w", err)
	}
	return iso.Host.Name() + "/kubeconfig", nil
}
