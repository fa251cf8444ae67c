// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/installer/report"
	"github.com/macpool/macpool/internal/network"
)

// plugins looks at what each node has in its directories of CNI plugins: macpool's own, and those that networks name.
func plugins(s *state) []Finding {
	wanted := map[string][]string{} // plugin -> networks that need it
	for i := range s.networks.Items {
		n := &s.networks.Items[i]
		if read, trouble := network.Of(n); trouble != nil || !read.Ours {
			continue
		}
		for _, plugin := range network.PluginsOf(n) {
			if plugin != cni.Type {
				wanted[plugin] = append(wanted[plugin], n.Namespace+"/"+n.Name)
			}
		}
	}
	findings := s.unasked("what is installed on")
	for _, node := range sorted(s.installers) {
		i := s.installers[node]
		if i.err != nil {
			findings = append(findings, found(Unchecked, "You need the right to create pods/exec in the namespace of the agents.", "what is installed on node %s: %v", node, i.err).on(node))
			continue
		}
		for _, f := range slices.Concat(ownPlugin(node, &i.Node), referencePlugins(node, &i.Node, wanted)) {
			findings = append(findings, f.on(node))
		}
	}
	return findings
}

// unasked says which nodes no installer has answered for, since there is none.
func (s *state) unasked(what string) []Finding {
	var nodes []string
	for _, node := range s.workers() {
		if _, asked := s.installers[node.Name]; !asked {
			nodes = append(nodes, node.Name)
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	return []Finding{found(Unchecked, "", "%s %s: no agent's pod with a container %s runs there", what, some(nodes), installerContainer)}
}

// ownPlugin is what is wrong with macpool's own plugin on a node.
func ownPlugin(node string, r *report.Node) []Finding {
	var findings []Finding
	if r.Problem != "" {
		text := strings.Join(strings.Fields(strings.ReplaceAll(r.Problem, "\n", "; ")), " ")
		f := said(text, "See the log of container installer in the agent's pod on that node.")
		f.What = "macpool's plugin is not in place on node " + node + ": " + f.What
		for _, d := range r.Directories {
			if d.Own == report.Differs && d.Version != "" {
				f.What += fmt.Sprintf(" (%s has version %s)", d.Dir, d.Version)
			}
		}
		findings = append(findings, f)
	}
	if !r.Socket {
		findings = append(findings, found(Fault, "See the log of container agent in the agent's pod on that node, and that /run/macpool is the same directory in pod and node.",
			"node %s has no socket /run/macpool/agent.sock, at which the plugin asks the agent", node))
	}
	for _, w := range r.Warnings {
		findings = append(findings, found(Hint, "", "on node %s a part of the configuration cannot be read: %s", node, w))
	}
	return findings
}

// referencePlugins are those of others that a node lacks.
func referencePlugins(node string, r *report.Node, wanted map[string][]string) []Finding {
	var dirs []string
	there := map[string]bool{}
	for _, d := range r.Directories {
		dirs = append(dirs, d.Dir)
		for _, p := range d.Plugins {
			there[p] = true
		}
	}
	var findings []Finding
	for _, plugin := range sorted(wanted) {
		if !there[plugin] {
			findings = append(findings, found(Fault,
				fmt.Sprintf("Install it there, or let macpool do so: MACPOOL_REFERENCE_PLUGINS=%s in container installer of the DaemonSet.", plugin),
				"node %s has no CNI plugin %s in %s, which %s need", node, plugin, strings.Join(dirs, ", "), some(wanted[plugin])))
		}
	}
	return findings
}
