// SPDX-License-Identifier: Apache-2.0

// Package accesstest gives an API server of the tests the roles and the admission policies of config, and has requests made in the name of
// macpool's service accounts, which are held to them as in a cluster.
package accesstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// Namespace is where macpool is installed.
const Namespace = "macpool-system"

// nodeName is the key under which the API server tells, of a token that is bound to a pod or a node, which node that is.
const nodeName = "authentication.kubernetes.io/node-name"

// patience is how long the API server may take to notice a policy.
const patience = time.Minute

// Install makes the namespace, the service accounts and roles, and all policies, of the tree under root, and returns when the
// policies on what agents write are in force. config is an administrator's, and the API server has macpool's kinds.
func Install(ctx context.Context, config *rest.Config, root string) error {
	c, err := newClient(config)
	if err != nil {
		return err
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	if err := c.Create(ctx, space); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making namespace %s: %w", Namespace, err)
	}
	for _, pattern := range []string{"rbac/*.yaml", "policy/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(root, "config", pattern))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("finding config/%s: %d files: %w", pattern, len(files), err)
		}
		for _, file := range files {
			if err := create(ctx, c, file); err != nil {
				return err
			}
		}
	}
	return await(ctx, config)
}

// Read reads the objects of a manifest; a kustomization is none.
func Read(file string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file) //nolint:gosec // a file of the tree
	if err != nil {
		return nil, fmt.Errorf("reading a manifest: %w", err)
	}
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), len(text)); ; {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("reading %s: %w", file, err)
		case object.GetKind() != "Kustomization":
			objects = append(objects, object)
		}
	}
}

// create makes the objects of a manifest.
func create(ctx context.Context, c client.Client, file string) error {
	objects, err := Read(file)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := c.Create(ctx, object); err != nil {
			return fmt.Errorf("making %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// await returns when each of the policies on agents refuses something, some moments after they were made. What they refuse, a client
// without a node's token would write.
func await(ctx context.Context, config *rest.Config) error {
	nobody, err := newClient(AsAgent(config, ""))
	if err != nil {
		return err
	}
	claim := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "probe"}, Spec: v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "probe"}},
	}
	lease := &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: "probe.192.168.50.10"},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: "probe", MAC: "02:32:00:a8:32:0a", IPs: []v1alpha1.IPAddress{"192.168.50.10"}, LeasedAt: metav1.Now(),
			ClaimRef: v1alpha1.ClaimRef{Namespace: "default", Name: "probe", UID: "1-2"},
		},
	}
	node := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
	for _, object := range []client.Object{claim, lease, node} {
		var answer error
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
			copied, _ := object.DeepCopyObject().(client.Object)
			answer = nobody.Create(ctx, copied, client.DryRunAll)
			return answer != nil && strings.Contains(answer.Error(), problem.NotItsNode.Code), nil
		})
		if err != nil {
			return fmt.Errorf("waiting for the policy on %T: %w; the last answer was: %w", object, err, answer)
		}
	}
	return nil
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("making a scheme: %w", err)
		}
	}
	config = rest.CopyConfig(config)
	config.QPS = -1
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}

// AsAgent has requests made in the name of the agent of a node, as the API server sees those with the agent's token; without a node,
// as those with a token that is bound to none.
func AsAgent(config *rest.Config, node string) *rest.Config {
	config = as(config, "macpool-agent")
	if node != "" {
		config.Impersonate.Extra = map[string][]string{nodeName: {node}}
	}
	return config
}

// AsManager has requests made in the name of the manager.
func AsManager(config *rest.Config) *rest.Config { return as(config, "macpool-manager") }

func as(config *rest.Config, account string) *rest.Config {
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + Namespace + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + Namespace, "system:authenticated"},
	}
	return config
}
