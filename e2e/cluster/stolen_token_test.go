// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// lifetime is the longest that a token of macpool's may be good for.
const lifetime = time.Hour

// thief is the user agent of who uses a stolen token. What he is denied is not what macpool is denied.
const thief = "thief"

// statements are what a token says of itself.
type statements struct {
	Audience   []string `json:"aud"`
	Issued     int64    `json:"iat"`
	Expires    int64    `json:"exp"`
	ID         string   `json:"jti"`
	Kubernetes struct {
		Pod, Node struct{ Name, UID string }
	} `json:"kubernetes.io"`
}

// TestT16StolenToken takes the tokens of a manager and an agent from where the kubelet keeps them, and uses them from another machine (T16).
// They are bound to their pod and its node, and good for an hour and for the API server alone; the audit log tells with which of them a request
// was made, and from where. When its pod is gone a token is worth nothing.
func TestT16StolenToken(t *testing.T) {
	t.Cleanup(func() { rolledOut(t) }) // for the next test
	stolen := map[string]client.Client{}
	for _, component := range []string{"manager", "agent"} {
		pod := &podsOf(t, component, "")[0]
		token := tokenOf(t, pod)
		says := readToken(t, token)
		if says.Kubernetes.Pod.UID != string(pod.UID) || says.Kubernetes.Node.Name != pod.Spec.NodeName {
			t.Errorf("the token of pod %s with the UID %s on node %s is bound to %+v", pod.Name, pod.UID, pod.Spec.NodeName, says.Kubernetes)
		}
		if got := time.Duration(says.Expires-says.Issued) * time.Second; got > lifetime {
			t.Errorf("the token of the %s is good for %s, want %s at most", component, got, lifetime)
		}
		if want := []string{"https://kubernetes.default.svc"}; !slices.Equal(says.Audience, want) {
			t.Errorf("the token of the %s is for %v, want %v", component, says.Audience, want)
		}
		stolen[pod.Name] = as(t, token)
		if err := useToken(t, stolen[pod.Name]); err != nil {
			t.Fatalf("the token of the %s does not work while its pod runs: %v", component, err)
		}
		if err := stolen[pod.Name].List(t.Context(), &corev1.SecretList{}); !apierrors.IsForbidden(err) {
			t.Errorf("reading secrets with the token of the %s: %v", component, err)
		}
		traced(t, pod, says.ID)
	}
	other := kubectl(t, "create", "token", "macpool-manager", "-n", "macpool-system", "--audience", "vault")
	if err := useToken(t, as(t, strings.TrimSpace(other))); !apierrors.IsUnauthorized(err) {
		t.Errorf("a token for another audience: %v", err)
	}

	for pod := range stolen {
		kubectl(t, "delete", "pod", pod, "-n", "macpool-system", "--wait=false")
	}
	for pod, c := range stolen { // for 10 s the API server remembers whom it has let in
		eventually(t, "the token of pod "+pod+" to be refused", func() error {
			if err := useToken(t, c); !apierrors.IsUnauthorized(err) {
				return fmt.Errorf("it is not: %w", err)
			}
			return nil
		})
	}
}

// podsOf are macpool's own pods that are ready, on a node or, if that is "", on any.
func podsOf(t *testing.T, component, node string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	err := box.List(t.Context(), &pods, client.InNamespace("macpool-system"), client.MatchingLabels{"app.kubernetes.io/component": component})
	if err != nil {
		t.Fatal(err)
	}
	ready := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return node != "" && p.Spec.NodeName != node || p.DeletionTimestamp != nil || !isReady(&p)
	})
	if len(ready) == 0 {
		t.Fatalf("no %s is ready", component)
	}
	return ready
}

// tokenOf is the token of a pod of macpool's, as the kubelet has it.
func tokenOf(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	file := filepath.Join(nodeRoot(t, pod.Spec.NodeName), "var/lib/kubelet/pods", string(pod.UID), "volumes/kubernetes.io~projected/token/token")
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

func readToken(t *testing.T, token string) (says statements) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &says); err != nil {
		t.Fatal(err)
	}
	return says
}

// as is who has a token and nothing else, on this machine.
func as(t *testing.T, token string) client.Client {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", box.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config = rest.AnonymousClientConfig(config)
	config.BearerToken, config.UserAgent = token, thief
	c, err := client.New(config, client.Options{Scheme: box.Scheme(), Mapper: box.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// useToken does what both accounts may do.
func useToken(t *testing.T, c client.Client) error {
	t.Helper()
	return c.List(t.Context(), &v1alpha1.MacPoolList{}, client.Limit(1))
}

// traced checks that the audit log has what the thief has done with a token of the pod, and from where.
func traced(t *testing.T, pod *corev1.Pod, id string) {
	t.Helper()
	for _, r := range auditLog(t) {
		if r.UserAgent != thief || !slices.Contains(r.User.Extra["authentication.kubernetes.io/credential-id"], "JTI="+id) {
			continue
		}
		if slices.Contains(r.SourceIPs, pod.Status.PodIP) || slices.Contains(r.SourceIPs, pod.Status.HostIP) {
			t.Errorf("the request came from its pod, says the audit log: %+v", r)
		}
		return
	}
	t.Errorf("the audit log does not have what was done with token %s of pod %s", id, pod.Name)
}
