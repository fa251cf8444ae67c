// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/macpool/macpool/api/v1alpha1"
)

// aggregateRoles runs the controller of Kubernetes that fills view, edit and admin with the rules of the roles whose labels say so, ours
// among them.
func aggregateRoles(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-controller-manager"),
		"--kubeconfig="+kubeconfig, "--controllers=clusterrole-aggregation-controller", "--leader-elect=false", "--secure-port=0", "--v=0")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the test's context has ended it
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the controller manager said\n%s", out.String())
		}
	})
}

// reader is somebody who reads.
type reader struct{ client *http.Client }

func newReader(t *testing.T, config *rest.Config) reader {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return reader{httpClient}
}

// newPerson is a person who is of no group but that of everybody who has a name.
func newPerson(t *testing.T, name string) reader {
	t.Helper()
	config := rest.CopyConfig(admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:authenticated"}}
	return newReader(t, config)
}

// get returns the status of an answer and, unless it is a watch that goes on, its body.
func (r reader) get(ctx context.Context, path string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url(path), http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK && req.URL.Query().Has("watch") {
		return resp.StatusCode, "", nil
	}
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// TestT24Readers has people who may read, edit or administer all of their own namespace, and somebody who may nothing, ask for the addresses of others:
// by leases, pools, nodes' reports and the claims of other namespaces. Roles that macpool adds to view, edit and admin count.
func TestT24Readers(t *testing.T) {
	const group = "/apis/macpool.dev/v1alpha1"
	aggregateRoles(t)
	pool := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "readers"}}
	pool.Spec.VLAN = new(int32(50))
	pool.Spec.Subnets = []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}}
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "readers-theirs", Name: "secret"}}
	claim.Spec.PoolRef.Name = pool.Name
	lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: "vlan-50.192.168.50.8"}}
	lease.Spec = v1alpha1.MacLeaseSpec{
		PoolName: pool.Name, MAC: "02:32:00:a8:32:08", IPs: []v1alpha1.IPAddress{"192.168.50.8"},
		ClaimRef: v1alpha1.ClaimRef{Namespace: claim.Namespace, Name: claim.Name, UID: "1"}, LeasedAt: metav1.Now(),
	}
	for _, ns := range []string{"readers-mine", claim.Namespace} {
		create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	}
	create(t, pool)
	create(t, claim)
	create(t, lease)
	create(t, &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "node-of-readers"}})

	paths := map[string]string{
		"a pool": group + "/macpools/" + pool.Name, "pools": group + "/macpools",
		"a lease": group + "/macleases/" + lease.Name, "leases": group + "/macleases",
		"a report": group + "/macnodes/node-of-readers", "reports": group + "/macnodes",
		"a claim of others": group + "/namespaces/" + claim.Namespace + "/macclaims/" + claim.Name,
		"its status":        group + "/namespaces/" + claim.Namespace + "/macclaims/" + claim.Name + "/status",
		"claims of others":  group + "/namespaces/" + claim.Namespace + "/macclaims",
		"all claims":        group + "/macclaims",
	}
	for what, path := range paths { // it is there to be read
		err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, inForce, true, func(ctx context.Context) (bool, error) {
			code, _, err := newReader(t, admin).get(ctx, path)
			return code == http.StatusOK, err
		})
		if err != nil {
			t.Fatalf("waiting for %s, as an administrator of the cluster: %v", what, err)
		}
	}

	for _, role := range []string{"", "view", "edit", "admin"} {
		t.Run("role "+role, func(t *testing.T) {
			person := newPerson(t, "person-with-"+role)
			if role != "" {
				create(t, &rbacv1.RoleBinding{
					ObjectMeta: metav1.ObjectMeta{Namespace: "readers-mine", Name: role},
					RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
					Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "person-with-" + role}},
				})
				// The role is in force, with all that was added to it.
				err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, inForce, true, func(ctx context.Context) (bool, error) {
					code, _, err := person.get(ctx, "/api/v1/namespaces/readers-mine/pods")
					return code == http.StatusOK, err
				})
				if err != nil {
					t.Fatalf("waiting for role %s: %v", role, err)
				}
			}
			for what, path := range paths {
				for _, query := range []string{"", "?watch=true", "?fieldSelector=metadata.name%3D" + lease.Name} {
					code, body, err := person.get(t.Context(), path+query)
					if err != nil {
						t.Fatal(err)
					}
					if code != http.StatusForbidden {
						t.Errorf("%s, by %s: %d, want it to be forbidden; it says\n%s", what, path+query, code, body)
					}
				}
			}
		})
	}
}
