// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
)

// askAtOnce is how many questions are under way at once.
const askAtOnce = 8

// newClient is a client that notes the time of the API server's answers.
func newClient(config *rest.Config, last *lastDate) (client.Client, error) {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil {
				last.note(response.Header.Get("Date"))
			}
			return response, err
		})
	})
	scheme := cli.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reaching the API server: %w", err)
	}
	return c, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// lastDate is the API server's time, by the latest answer. Safe for concurrent use.
type lastDate struct {
	mu  sync.Mutex
	now time.Time
}

func (d *lastDate) note(header string) {
	now, err := http.ParseTime(header)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.After(d.now) {
		d.now = now
	}
}

func (d *lastDate) get() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// read reads all lists, each once; what cannot be read is noted. namespace is where the dry run asks.
func (s *state) read(ctx context.Context, c client.Client, namespace string) error {
	s.unread = map[string]error{}
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		slots = make(chan struct{}, askAtOnce)
	)
	for resource, list := range s.lists() {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var options []client.ListOption
			if resource == "configmaps" {
				options = append(options, client.InNamespace(metav1.NamespaceSystem), client.MatchingFields{"metadata.name": "cilium-config"})
			}
			if err := c.List(ctx, list, options...); err != nil {
				mu.Lock()
				defer mu.Unlock()
				s.unread[resource] = err
			}
		})
	}
	wg.Go(func() { s.refusal = c.Create(ctx, multicastPod(namespace), client.DryRunAll) })
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.unread["macleases"] == nil && s.unread["macclaims"] == nil {
		return s.readAgain(ctx, c)
	}
	return nil
}

// readAgain reads what does not go together a second time.
func (s *state) readAgain(ctx context.Context, c client.Client) error {
	first := straying(s.leases.Items, s.claims.Items)
	if len(first) == 0 {
		return nil
	}
	var leases v1alpha1.MacLeaseList
	var claims v1alpha1.MacClaimList
	for _, list := range []client.ObjectList{&leases, &claims} {
		if err := c.List(ctx, list); err != nil {
			return fmt.Errorf("reading leases and claims again: %w", err)
		}
	}
	s.astray = both(first, straying(leases.Items, claims.Items))
	return nil
}

// multicastPod is a pod that every namespace would take but for its MAC. It is never made.
func multicastPod(namespace string) *corev1.Pod {
	no, yes := false, true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: "macpool-doctor-",
			Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: `[{"name": "macpool-doctor", "mac": "01:00:00:00:00:01"}]`},
		},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no,
			SecurityContext:              &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: new(int64(65534)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "none", Image: "none",
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
}
