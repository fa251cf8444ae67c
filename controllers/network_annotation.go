// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/internal/networks"
	"github.com/macpool/macpool/internal/problem"
)

// maxInterfaceName is the longest name that the kernel gives an interface.
const maxInterfaceName = 15

// wishText is an address asked for, as it was written.
type wishText struct {
	IPs []string `json:"ips"`
	MAC string   `json:"mac"`
}

// selection is one element of a pod's networks annotation: an interface beside the cluster's own.
type selection struct {
	Interface string
	Network   types.NamespacedName
	// Direct is what the element asks for by its own fields, Args by its cni-args.
	Direct, Args wishText
}

// selectionsOf are the networks that a pod asks for, named as Multus names them: the n-th element is interface net<n>,
// counted over all elements, unless it says otherwise. What may be wrong is BadAnnotation: Multus starts such a pod without
// the interface, and nobody else tells its owner.
func selectionsOf(pod *corev1.Pod) ([]selection, *problem.Error) {
	elements, wrong := networks.Selected(pod)
	if wrong != nil || elements == nil {
		return nil, wrong
	}
	selections := make([]selection, 0, len(elements))
	interfaces := map[string]bool{}
	for i, element := range elements {
		s := selection{
			Interface: element.InterfaceRequest,
			Network:   types.NamespacedName{Namespace: element.Namespace, Name: element.Name},
			Direct:    wishText{IPs: element.IPRequest, MAC: element.MacRequest},
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
			var err error
			if s.Args, err = wishOfArgs(*element.CNIArgs); err != nil {
				return nil, problem.BadAnnotation.New(fmt.Sprintf("cni-args of element %d: %s", i+1, err)).WithCause(err)
			}
		}
		selections = append(selections, s)
	}
	return selections, nil
}

// wishOfArgs reads what macpool knows of cni-args, which may hold anything.
func wishOfArgs(args map[string]any) (wishText, error) {
	known := map[string]any{}
	for _, key := range []string{"ips", "mac"} {
		if value, ok := args[key]; ok {
			known[key] = value
		}
	}
	text, err := json.Marshal(known)
	if err != nil {
		return wishText{}, err
	}
	var w wishText
	if err := json.Unmarshal(text, &w); err != nil {
		return wishText{}, fmt.Errorf("ips must be a list of addresses and mac a MAC: %w", err)
	}
	return w, nil
}
