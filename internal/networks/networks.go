// SPDX-License-Identifier: Apache-2.0

// Package networks reads which networks a pod selects, as Multus does.
package networks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	nadutils "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/internal/problem"
)

// Selected are the elements of a pod's networks annotation; none if it has none. What may be wrong is BadAnnotation: Multus starts such a pod
// without the interface, and nobody else tells its owner.
func Selected(pod *corev1.Pod) ([]*nadv1.NetworkSelectionElement, *problem.Error) {
	annotation := pod.Annotations[nadv1.NetworkAttachmentAnnot]
	if annotation == "" {
		return nil, nil
	}
	if i, ok := firstNull(annotation); ok {
		return nil, problem.BadAnnotation.New(fmt.Sprintf("element %d is null", i+1))
	}
	elements, err := nadutils.ParseNetworkAnnotation(annotation, pod.Namespace)
	if err != nil {
		return nil, problem.BadAnnotation.New(strings.TrimPrefix(err.Error(), "parsePodNetworkAnnotation: ")).WithCause(err)
	}
	return elements, nil
}

// firstNull finds a null in a list of networks, at which the library's parser panics.
func firstNull(annotation string) (int, bool) {
	var elements []json.RawMessage
	if json.Unmarshal([]byte(annotation), &elements) != nil {
		return 0, false
	}
	for i, element := range elements {
		if bytes.Equal(bytes.TrimSpace(element), []byte("null")) {
			return i, true
		}
	}
	return 0, false
}
