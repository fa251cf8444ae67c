// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// T26: the manager that runs is not ready any more within a minute after a policy was unbound, and is again when it is bound.
func TestT26ManagerNotReady(t *testing.T) {
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "macpool-node-labels"}}
	if err := cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(binding), binding); err != nil {
		t.Fatal(err)
	}
	awaitManager(t, http.StatusOK)
	if err := cluster.Client.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	awaitManager(t, http.StatusInternalServerError)
	t.Logf("not ready after %s", time.Since(begin))
	again := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: binding.Name}, Spec: binding.Spec}
	if err := cluster.Client.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	awaitManager(t, http.StatusOK)
}

// awaitManager waits for a minute until /readyz of the manager answers with a status.
func awaitManager(t *testing.T, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	eventually(t, fmt.Sprintf("/readyz of the manager to answer %d", status), func(context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cluster.ManagerHealth+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != status {
			return fmt.Errorf("it is %s", response.Status)
		}
		return nil
	})
}
