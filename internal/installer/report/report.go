// SPDX-License-Identifier: Apache-2.0

// Package report is what installer check says of its node to a program: kubectl macpool doctor reads it by an exec in the agent's pod.
package report

// Node is what the installer finds on its node.
type Node struct {
	// Problem is what keeps the installer from being done, as installer check says it; empty if nothing does.
	Problem string `json:"problem,omitempty"`
	// Directories are those in which the node looks for plugins.
	Directories []Directory `json:"directories"`
	// Multus are the configurations of Multus in the node's directories of CNI configurations.
	Multus []Configuration `json:"multus,omitempty"`
	// Renamed are configurations that were renamed away so that no runtime reads them, as Cilium does with those of others.
	Renamed []string `json:"renamed,omitempty"`
	// Warnings are parts of the node's configuration that could not be read.
	Warnings []string `json:"warnings,omitempty"`
	// Socket tells whether there is the agent's socket, which the plugin dials.
	Socket bool `json:"socket"`
}

// Directory is a directory of plugins.
type Directory struct {
	// Dir is its path on the node, and Source who looks there: a file of configuration, or a distribution's custom.
	Dir    string `json:"dir"`
	Source string `json:"source"`
	// Plugins are the names of the executable files in it.
	Plugins []string `json:"plugins,omitempty"`
	// Own is macpool's plugin in it.
	Own State `json:"own"`
	// Version is what that was built from, if it says so.
	Version string `json:"version,omitempty"`
	// Unusable says why nothing can be installed here.
	Unusable string `json:"unusable,omitempty"`
}

// State is how macpool's plugin stands in a directory.
type State string

const (
	// Current is the plugin of the agent's image.
	Current State = "Current"
	// Missing is none.
	Missing State = "Missing"
	// Differs is another file of its name, of another release or not macpool's at all.
	Differs State = "Differs"
)

// Configuration is a file of CNI configuration that runs Multus.
type Configuration struct {
	File string `json:"file"`
	// Before is the file of the same directory that a runtime, which takes the first by name, takes in its place; empty if it takes this one.
	Before string `json:"before,omitempty"`
}
