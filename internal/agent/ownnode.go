// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
)

// ownUID is the UID of this agent's Node, as it was read last; empty while it is not known. It goes into the holders that
// this agent sets, so that a node that is made again under the name is not taken for this one (R-G10).
func (a *Agent) ownUID() types.UID {
	if uid := a.nodeUID.Load(); uid != nil {
		return *uid
	}
	return ""
}

// isHere tells whether the holder is a pod of this node, and not of one that had its name before. What is not known for
// certain counts as here: it is left to those who can tell.
func (a *Agent) isHere(holder *v1alpha1.Holder) bool {
	own := a.ownUID()
	return holder.NodeName == a.nodeName && (holder.NodeUID == "" || own == "" || holder.NodeUID == own)
}

// followNode reads the own Node now and then: it may be deleted and made again while the agent runs.
func (a *Agent) followNode(ctx context.Context) error {
	select {
	case <-a.ready: // which has read it once
	case <-ctx.Done():
		return nil
	}
	for a.pause(ctx, a.times.Node) == nil {
		a.readNode(ctx)
	}
	return nil
}

// readNode reads the own Node's UID and labels, for as long as the API may take. A Node that is not there leaves what was known: the
// pods of this machine were its. Without a UID holders are known by the node's name alone.
func (a *Agent) readNode(ctx context.Context) {
	node := &metav1.PartialObjectMetadata{}
	node.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	err := a.live(ctx, func(ctx context.Context) error {
		return a.cluster.Get(ctx, types.NamespacedName{Name: a.nodeName}, node)
	})
	switch {
	case err == nil:
		a.nodeUID.Store(&node.UID)
		a.nodeLabels.Store(&node.Labels)
	case !apierrors.IsNotFound(err):
		a.log.Info("The own Node was not read", "error", fmt.Sprint(err))
	}
}
