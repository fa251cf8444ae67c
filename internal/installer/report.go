// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/macpool/macpool/internal/installer/report"
)

const (
	agentSocket = "/run/macpool/agent.sock"

	// renamedSuffix is what Cilium appends to the configurations of others if it is to be the only one (cni.exclusive).
	renamedSuffix = ".cilium_bak"

	// maxReported bounds each list of names: a directory may be any, and its content comes over a connection.
	maxReported = 256
)

// Report is what there is on the node, for a program. It changes nothing.
func (i *Installer) Report() (report.Node, error) {
	plugins, err := i.plugins()
	if err != nil {
		return report.Node{}, err
	}
	targets, warnings, err := i.host.targets(i.options.Platform, i.options.BinDirs)
	if err != nil {
		return report.Node{}, err
	}
	r, err := i.readRecord()
	if err != nil {
		return report.Node{}, err
	}
	node := report.Node{Warnings: warnings, Directories: []report.Directory{}}
	if err := i.Check(); err != nil {
		node.Problem = err.Error()
	}
	for _, t := range targets {
		d := i.reportDirectory(t, plugins[0])
		if known := r.Directories[t.Dir]; known != nil {
			d.Unusable = known.Unusable
		}
		node.Directories = append(node.Directories, d)
	}
	// What a setting names decides where to install, and not where Multus is configured.
	for _, dir := range i.host.detect().confDirs {
		i.host.reportConfigurations(dir, &node)
	}
	if where, err := i.host.resolve(agentSocket); err == nil {
		info, err := i.host.root.Lstat(where.real)
		node.Socket = err == nil && info.Mode().Type() == fs.ModeSocket
	}
	return node, nil
}

func (i *Installer) reportDirectory(t Target, own binary) report.Directory {
	d := report.Directory{Dir: t.Dir, Source: t.Source, Own: report.Missing}
	for _, file := range i.host.files(t.Dir) {
		if info, err := i.host.stat(file); err == nil && info.Mode().Perm()&0o111 != 0 && len(d.Plugins) < maxReported {
			d.Plugins = append(d.Plugins, path.Base(file))
		}
	}
	dir, err := i.host.openDir(t.Dir, false)
	if err != nil {
		return d
	}
	defer dir.Close() //nolint:errcheck // was only read
	now, err := inspect(dir, own.name)
	if err != nil || !now.exists {
		return d
	}
	d.Own, d.Version = report.Differs, now.version
	if now.is(own) {
		d.Own = report.Current
	}
	return d
}

// reportConfigurations adds what a directory of CNI configurations says of Multus.
func (h *host) reportConfigurations(dir string, node *report.Node) {
	first := ""
	for _, file := range h.files(dir) {
		if strings.HasSuffix(file, renamedSuffix) && len(node.Renamed) < maxReported {
			node.Renamed = append(node.Renamed, file)
		}
		if !isConfiguration(file) {
			continue
		}
		if first == "" {
			first = file
		}
		content, err := h.readFile(file)
		var config multusConfig
		if err != nil || json.Unmarshal(content, &config) != nil || len(node.Multus) >= maxReported {
			continue
		}
		if slices.ContainsFunc(append(config.Plugins, config), multusConfig.isMultus) {
			c := report.Configuration{File: file}
			if first != file {
				c.Before = first
			}
			node.Multus = append(node.Multus, c)
		}
	}
}
