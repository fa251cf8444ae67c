// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"net/http"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/macpool/macpool/controllers"
	"github.com/macpool/macpool/internal/problem"
)

// withoutMultus maps kinds as a cluster does that has no networks.
type withoutMultus struct {
	apimeta.RESTMapper

	err error
}

// RESTMapping is meta.RESTMapper's.
func (m withoutMultus) RESTMapping(kind schema.GroupKind, versions ...string) (*apimeta.RESTMapping, error) {
	if kind.Kind == "NetworkAttachmentDefinition" {
		return nil, m.err
	}
	return m.RESTMapper.RESTMapping(kind, versions...)
}

// A manager in a cluster without Multus says so, and what to do.
func TestManagerWithoutMultus(t *testing.T) {
	w := newWorld(t)
	version := schema.GroupVersion{Group: "k8s.cni.cncf.io", Version: "v1"}
	for name, unknown := range map[string]error{
		"at the first question": &apiutil.ErrResourceDiscoveryFailed{version: &apimeta.NoResourceMatchError{PartialResource: version.WithResource("")}},
		"at a later one":        &apimeta.NoKindMatchError{GroupKind: version.WithKind("NetworkAttachmentDefinition").GroupKind(), SearchedVersions: []string{"v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			mgr, err := ctrl.NewManager(w.api.manager, ctrl.Options{
				Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
				MapperProvider: func(config *rest.Config, http *http.Client) (apimeta.RESTMapper, error) {
					known, err := apiutil.NewDynamicRESTMapper(config, http)
					return withoutMultus{known, unknown}, err
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			err = (&controllers.NADReconciler{Client: mgr.GetClient()}).SetupWithManager(t.Context(), mgr)
			if !problem.DefinitionMissing.Is(err) || !strings.Contains(err.Error(), "NetworkAttachmentDefinition") || !strings.Contains(err.Error(), "Multus") {
				t.Errorf("it says: %v", err)
			}
		})
	}
}
