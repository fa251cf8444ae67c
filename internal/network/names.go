// SPDX-License-Identifier: Apache-2.0

package network

import (
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	nadutils "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"
)

// elementsOf reads a networks annotation as Multus does, by the library that Multus has. That compiles a regular expression three times for
// each name, and each pod of the cluster is read at the start; so what is a list of plain names, as most annotations are, is read here.
func elementsOf(annotation, namespace string) ([]*nadv1.NetworkSelectionElement, error) {
	if elements := plainNames(annotation, namespace); elements != nil {
		return elements, nil
	}
	return nadutils.ParseNetworkAnnotation(annotation, namespace)
}

// plainNames reads a list of names, each perhaps with a namespace before a slash and an interface after an @, with commas and nothing else between
// them. It is nil of anything else, be it right or wrong.
func plainNames(annotation, namespace string) []*nadv1.NetworkSelectionElement {
	var elements []*nadv1.NetworkSelectionElement
	for item := range strings.SplitSeq(annotation, ",") {
		e := &nadv1.NetworkSelectionElement{Name: item, Namespace: namespace}
		if before, name, ok := strings.Cut(item, "/"); ok {
			if !isPlain(before) {
				return nil
			}
			e.Namespace, e.Name = before, name
		}
		if name, after, ok := strings.Cut(e.Name, "@"); ok {
			if !isPlain(after) {
				return nil
			}
			e.Name, e.InterfaceRequest = name, after
		}
		if !isPlain(e.Name) {
			return nil
		}
		elements = append(elements, e)
	}
	return elements
}

// isPlain tells whether a text is of lower-case letters, digits, and dashes that are neither first nor last.
func isPlain(text string) bool {
	for i, c := range []byte(text) {
		inner := i > 0 && i < len(text)-1
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || !inner) {
			return false
		}
	}
	return text != ""
}
