// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"context"
	"fmt"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
)

// networksOf is what is wrong with the networks that the pod selects: the annotation cannot be read, or one of them is missing. What is in them is
// looked at by the manager, which tells it in events of the networks and conditions of the pools.
func networksOf(ctx context.Context, c client.Reader, pod *corev1.Pod) ([]*problem.Error, error) {
	selections, unreadable := network.SelectionsOf(pod)
	if unreadable != nil {
		return []*problem.Error{unreadable}, nil //nolint:nilerr // it is the answer
	}
	var wrong []*problem.Error
	for _, selection := range selections {
		key := selection.Network
		switch err := c.Get(ctx, key, &nadv1.NetworkAttachmentDefinition{}); {
		case apierrors.IsNotFound(err):
			wrong = append(wrong, problem.NetworkMissing.New(key))
		case err != nil && !apimeta.IsNoMatchError(err): // without the kind there is no Multus, and nobody reads the annotation
			return nil, fmt.Errorf("reading network %s: %w", key, err)
		}
	}
	return wrong, nil
}
