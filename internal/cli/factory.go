// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Factory is what every command works with.
type Factory struct {
	genericiooptions.IOStreams

	// Config are kubectl's flags: which cluster, as whom, in which namespace.
	Config *genericclioptions.ConfigFlags
	// Clock is what "now" and ages are measured by.
	Clock clock.PassiveClock
	// Zone is that in which times are read and shown; nil is the machine's.
	Zone *time.Location
}

// NewFactory is a factory on the person's own kubeconfig and clock. What is said beside an answer is for people, whatever its format.
func NewFactory(streams genericiooptions.IOStreams) *Factory {
	streams.ErrOut = Legible(streams.ErrOut)
	return &Factory{IOStreams: streams, Config: genericclioptions.NewConfigFlags(true), Clock: clock.RealClock{}}
}

// RESTConfig is how the cluster is reached. Nothing is limited on this side: a command asks a few large questions.
func (f *Factory) RESTConfig() (*rest.Config, error) {
	config, err := f.Config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	config.QPS = -1
	return config, nil
}

// Client reads and writes the cluster, without a cache.
func (f *Factory) Client() (client.Client, error) {
	config, err := f.RESTConfig()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: NewScheme()})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}

// Namespace is that of the flag -n, else that of the context.
func (f *Factory) Namespace() (string, error) {
	namespace, _, err := f.Config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("finding the namespace: %w", err)
	}
	return namespace, nil
}

// NewScheme are the kinds that commands read: Kubernetes', macpool's and networks.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(nadv1.AddToScheme(scheme))
	return scheme
}
