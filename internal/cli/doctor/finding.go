// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/problem"
)

// Severity is how bad a finding is.
type Severity string

const (
	// Fault is what keeps pods from starting, from being reached, or from being protected; the exit status tells of it.
	Fault Severity = "fault"
	// Hint is what works, and may be meant.
	Hint Severity = "hint"
	// Unchecked is what could not be looked at. It is not good, and not bad either.
	Unchecked Severity = "unchecked"
)

// Finding is one thing that was found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code is that of the catalogue, if it has one for it.
	Code string `json:"code,omitempty"`
	// What is a sentence without a final period.
	What string `json:"what"`
	// Fix is what to do.
	Fix string `json:"fix,omitempty"`
	// Object is what it is about, as kind.group/name, in Namespace.
	Object    string `json:"object,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	// Node is where, if it is a matter of one node.
	Node string `json:"node,omitempty"`
	// Page is where more of it stands, in the documentation.
	Page string `json:"page,omitempty"`
}

// of is a finding in the words of the catalogue.
func of(severity Severity, p *problem.Error) Finding {
	return Finding{Severity: severity, Code: p.Kind.Code, What: p.Message, Fix: p.Fix, Page: p.Kind.Page()}
}

// found is a finding that the catalogue has no entry for.
func found(severity Severity, fix, what string, args ...any) Finding {
	return Finding{Severity: severity, What: fmt.Sprintf(what, args...), Fix: fix}
}

// coded is how messages that were written with their code begin.
var coded = regexp.MustCompile(`^(MP[0-9]{3}): `)

// said is a fault in the words of a condition.
func said(message, fix string) Finding {
	f := Finding{Severity: Fault, What: message, Fix: fix}
	if match := coded.FindStringSubmatch(message); match != nil {
		f.Code, f.What, f.Page = match[1], strings.TrimPrefix(message, match[0]), problem.PageOf(match[1])
	}
	f.What = strings.TrimSuffix(f.What, ".")
	return f
}

// on says which node it is a matter of.
func (f Finding) on(node string) Finding {
	f.Node = node
	return f
}

// about says which object it is about, by a name that kubectl takes.
func (f Finding) about(resource string, object client.Object) Finding {
	f.Object, f.Namespace = resource+"/"+object.GetName(), object.GetNamespace()
	return f
}
