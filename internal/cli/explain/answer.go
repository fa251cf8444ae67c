// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/problem"
)

// answer is how things stand with a pod or claim.
type answer struct {
	Kind       string          `json:"kind"`
	Namespace  string          `json:"namespace"`
	Name       string          `json:"name"`
	PodPhase   corev1.PodPhase `json:"podPhase,omitempty"`
	Interfaces []iface         `json:"interfaces"`
	Findings   []finding       `json:"findings"`
	Remarks    []string        `json:"remarks,omitempty"`

	f *cli.Factory
}

// iface is an interface of the pod, by its claim.
type iface struct {
	Interface string   `json:"interface,omitempty"`
	Pool      string   `json:"pool"`
	Claim     string   `json:"claim"`
	MAC       string   `json:"mac,omitempty"`
	IPs       []string `json:"ips,omitempty"`
	// Held : the pod holds the claim; of a claim, some pod does.
	Held  bool      `json:"held"`
	Pod   string    `json:"pod,omitempty"`
	Node  string    `json:"node,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// finding is something that is wrong.
type finding struct {
	// Code and Page are those of the catalogue, if it has it.
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason"`
	About  string `json:"about"`
	// Message is what happened, and what to do.
	Message string `json:"message"`
	Page    string `json:"page,omitempty"`
}

// interfaceOf is the interface that a claim is for.
func interfaceOf(in *evidence, claim *v1alpha1.MacClaim) iface {
	i := iface{Pool: claim.Spec.PoolRef.Name, Claim: claim.Name, MAC: claim.Status.MAC, IPs: claim.Status.IPs}
	if claim.Spec.Workload != nil {
		i.Interface = claim.Spec.Workload.Interface
	}
	holder := claim.Status.Holder
	if in.pod != nil {
		if own := binding.HolderOf(claim, binding.PodUID(in.pod)); own != nil {
			holder, i.Held = own, true
		}
	}
	if holder != nil {
		i.Held = i.Held || in.pod == nil
		i.Interface, i.Pod, i.Node, i.Since = holder.Interface, holder.PodName, holder.NodeName, holder.Since.Time
	}
	return i
}

// add tells a finding, unless its entry of the catalogue was told already. What has no entry goes by its reason.
func (a *answer) add(kind *problem.Kind, reason, about, message string) {
	f := finding{Reason: reason, About: about, Message: message}
	if kind != nil {
		f.Code, f.Reason, f.Page = kind.Code, kind.Reason, kind.Page()
	}
	if !slices.ContainsFunc(a.Findings, func(g finding) bool { return g.Code == f.Code && (f.Code != "" || g.Reason == f.Reason) }) {
		a.Findings = append(a.Findings, f)
	}
}

// Names are the pod and its claims.
func (a *answer) Names() []string {
	var names []string
	if a.Kind == "Pod" {
		names = append(names, "pod/"+a.Name)
	}
	for _, i := range a.Interfaces {
		names = append(names, "macclaim.macpool.dev/"+i.Claim)
	}
	return names
}

// Print writes the interfaces, and what is wrong.
func (a *answer) Print(w io.Writer, wide bool) error {
	p := a.f.Palette()
	page := cli.NewPage(w)
	kind := "claim"
	if a.Kind == "Pod" {
		kind = "pod"
	}
	title := p.Bold(kind + " " + a.Namespace + "/" + a.Name)
	if a.PodPhase != "" {
		title += "  " + p.Faint("("+string(a.PodPhase)+")")
	}
	page.Line("%s", title)
	if page.Err() == nil && len(a.Interfaces) > 0 {
		if err := a.table(w, wide); err != nil {
			return err
		}
	}
	for _, f := range a.Findings {
		page.Line("\n%s  %s", p.Bad(strings.TrimSpace(f.Code+" "+f.Reason)), p.Faint("("+f.About+")"))
		page.Line("  %s", f.Message)
		if f.Page != "" {
			page.Line("  %s", p.Faint(f.Page))
		}
	}
	for _, remark := range a.Remarks {
		page.Line("\n%s.", upper(remark))
	}
	if len(a.Findings) == 0 && len(a.Remarks) == 0 {
		page.Line("\n%s", p.Good("Nothing is wrong."))
	}
	return page.Err()
}

func (a *answer) table(w io.Writer, wide bool) error {
	headings := []string{"INTERFACE", "POOL", "CLAIM", "IP", "MAC", "STATE"}
	if wide {
		headings = append(headings, "NODE", "SINCE")
	}
	var rows [][]string
	for _, i := range a.Interfaces {
		row := []string{cli.Dash(i.Interface), i.Pool, i.Claim, cli.Dash(strings.Join(i.IPs, ",")), cli.Dash(i.MAC), a.stateOf(&i)}
		if wide {
			since := ""
			if !i.Since.IsZero() {
				since = a.f.Stamp(i.Since)
			}
			row = append(row, cli.Dash(i.Node), cli.Dash(since))
		}
		rows = append(rows, row)
	}
	return cli.Table(w, headings, rows)
}

func (a *answer) stateOf(i *iface) string {
	switch {
	case i.Held && a.Kind == "Pod":
		return "held since " + a.f.Ago(i.Since)
	case i.Pod != "":
		return "held by pod " + i.Pod
	case i.MAC != "":
		return "leased, and no pod has it"
	}
	return "waits for an address"
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
