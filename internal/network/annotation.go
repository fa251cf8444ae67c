// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/internal/problem"
)

// maxInterfaceName is the longest name that the kernel gives an interface.
const maxInterfaceName = 15

// Wish is an address asked for, as it was written.
type Wish struct {
	IPs []string `json:"ips"`
	MAC string   `json:"mac"`
}

// Selection is one element of a pod's networks annotation: an interface beside the cluster's own.
type Selection struct {
	Interface string
	Network   types.NamespacedName
	// Direct is what the element asks for by its own fields, Args by its cni-args.
	Direct, Args Wish
}

// SelectionsOf are the networks that a pod asks for.
func SelectionsOf(pod *corev1.Pod) ([]Selection, *problem.Error) {
	return Selections(pod.Annotations[nadv1.NetworkAttachmentAnnot], pod.Namespace)
}

// Selections are the networks that a networks annotation in a namespace asks for, named as Multus names them: the n-th element is interface net<n>,
// counted over all elements, unless it says otherwise. What may be wrong is BadAnnotation: Multus starts such a pod without
// the interface, and nobody else tells its owner.
func Selections(annotation, namespace string) ([]Selection, *problem.Error) {
	if annotation == "" {
		return nil, nil
	}
	if i, ok := firstNull(annotation); ok {
		return nil, problem.BadAnnotation.New(fmt.Sprintf("element %d is null", i+1))
	}
	elements, err := elementsOf(annotation, namespace)
	if err != nil {
		return nil, problem.BadAnnotation.New(strings.TrimPrefix(err.Error(), "parsePodNetworkAnnotation: ")).WithCause(err)
	}
	selections := make([]Selection, 0, len(elements))
	interfaces := map[string]bool{}
	for i, element := range elements {
		s := Selection{
			Interface: element.InterfaceRequest,
			Network:   types.NamespacedName{Namespace: element.Namespace, Name: element.Name},
			Direct:    Wish{IPs: element.IPRequest, MAC: element.MacRequest},
		}
		if s.Interface == "" {
			s.Interface = fmt.Sprintf("net%d", i+1)
		}
		switch {
		case element.Name == "":
			return nil, problem.BadAnnotation.New(fmt.Sprintf("element %d names no network", i+1))
		case len(s.Interface) > maxInterfaceName:
			return nil, problem.BadAnnotation.New(fmt.Sprintf("interface name %q is longer than %d characters", s.Interface, maxInterfaceName))
		case interfaces[s.Interface]:
			return nil, problem.BadAnnotation.New(fmt.Sprintf("two networks are to be interface %s", s.Interface))
		}
		interfaces[s.Interface] = true
		if element.CNIArgs != nil {
			if s.Args, err = wishOfArgs(*element.CNIArgs); err != nil {
				return nil, problem.BadAnnotation.New(fmt.Sprintf("cni-args of element %d: %s", i+1, err)).WithCause(err)
			}
		}
		selections = append(selections, s)
	}
	return selections, nil
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

// wishOfArgs reads what macpool knows of cni-args, which may hold anything.
func wishOfArgs(args map[string]any) (Wish, error) {
	known := map[string]any{}
	for _, key := range []string{"ips", "mac"} {
		if value, ok := args[key]; ok {
			known[key] = value
		}
	}
	text, err := json.Marshal(known)
	if err != nil {
		return Wish{}, err
	}
	var w Wish
	if err := json.Unmarshal(text, &w); err != nil {
		return Wish{}, fmt.Errorf("ips must be a list of addresses and mac a MAC: %w", err)
	}
	return w, nil
}
