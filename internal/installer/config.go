// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Where runtimes keep their configuration: kubeadm and most others, Talos, k3s, RKE2, MicroK8s.
var (
	containerdConfigs = []string{
		"/etc/containerd/config.toml",
		"/etc/cri/containerd.toml",
		"/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
		"/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
		"/var/snap/microk8s/current/args/containerd.toml",
	}
	crioConfig  = "/etc/crio/crio.conf"
	crioConfigD = "/etc/crio/crio.conf.d"
)

// The names of containerd's CRI plugin in versions 1, 2 and 3 of its configuration. Version 3 has it in two parts, of which
// this one does the networks.
var criPlugins = []string{"cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"}

// Where containerd and CRI-O look if their configuration does not say.
const defaultBinDir = "/opt/cni/bin"

// findings is what the configuration of the host says. Files that override one another are not told apart: all that is named
// counts. A directory too many costs some megabytes, one too few every pod.
type findings struct {
	bins     []Target
	confDirs []string
	// warnings are files that could not be read, each a sentence without what they hold: they may hold secrets of registries.
	warnings []string
}

func (f *findings) addBin(dir, source string, runtime bool) {
	if !path.IsAbs(dir) || strings.Contains(dir, "$") || path.Clean(dir) == "/" {
		f.warnings = append(f.warnings, fmt.Sprintf("%s: %q is no directory for plugins", source, dir))
		return
	}
	f.bins = append(f.bins, Target{Dir: path.Clean(dir), Source: source, runtime: runtime})
}

func (f *findings) addConfDir(dir string) {
	if path.IsAbs(dir) {
		f.confDirs = append(f.confDirs, path.Clean(dir))
	}
}

// readConfiguration reads what the runtimes and Multus are told on this host.
func (h *host) readConfiguration(confDirs []string) findings {
	var f findings
	for _, file := range containerdConfigs {
		h.readContainerd(file, &f)
	}
	h.readCRIO(&f)
	f.confDirs = append(f.confDirs, confDirs...)
	slices.Sort(f.confDirs)
	for _, dir := range slices.Compact(f.confDirs) {
		h.readMultus(dir, &f)
	}
	return f
}

// readTOML reads a file; nil if there is none or it cannot be read.
func (h *host) readTOML(file string, f *findings) table {
	content, err := h.readFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	document := map[string]any{}
	if err == nil {
		err = toml.Unmarshal(content, &document)
	}
	if decoding := (*toml.DecodeError)(nil); errors.As(err, &decoding) {
		row, column := decoding.Position()
		err = fmt.Errorf("line %d, column %d is not TOML", row, column)
	}
	if err != nil {
		f.warnings = append(f.warnings, fmt.Sprintf("%s: %v", file, err))
		return nil
	}
	return document
}

// readContainerd reads a configuration of containerd and the files that it imports.
func (h *host) readContainerd(main string, f *findings) {
	var (
		queue    = []string{main}
		read     = map[string]bool{}
		disabled bool
		exists   bool
		bins     []Target
	)
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		if read[file] {
			continue
		}
		read[file] = true
		document := h.readTOML(file, f)
		if document == nil {
			continue
		}
		exists = true
		for _, plugin := range document.strings("disabled_plugins") {
			disabled = disabled || slices.Contains(criPlugins, plugin)
		}
		for _, name := range criPlugins {
			cni := document.table("plugins").table(name).table("cni")
			for _, dir := range append(cni.strings("bin_dir"), cni.strings("bin_dirs")...) {
				bins = append(bins, Target{Dir: dir, Source: file})
			}
			for _, dir := range cni.strings("conf_dir") {
				f.addConfDir(dir)
			}
		}
		for _, pattern := range document.strings("imports") {
			if !path.IsAbs(pattern) {
				pattern = path.Join(path.Dir(file), pattern)
			}
			queue = append(queue, h.glob(pattern)...)
		}
	}
	// One without CRI starts no pods: Docker's package leaves such a file behind, and Talos' own containerd has one.
	if !exists || disabled {
		return
	}
	if len(bins) == 0 {
		bins = []Target{{Dir: defaultBinDir, Source: main}}
	}
	for _, bin := range bins {
		f.addBin(bin.Dir, bin.Source, true)
	}
}

// glob are the files that pattern means, whose last part may have wildcards.
func (h *host) glob(pattern string) []string {
	dir, last := path.Split(pattern)
	if !strings.ContainsAny(last, `*?[\`) {
		return []string{pattern}
	}
	return slices.DeleteFunc(h.files(dir), func(file string) bool {
		matches, err := path.Match(last, path.Base(file))
		return err != nil || !matches
	})
}

// readCRIO reads the configuration of CRI-O.
func (h *host) readCRIO(f *findings) {
	var exists, told bool
	for _, file := range append([]string{crioConfig}, h.files(crioConfigD)...) {
		document := h.readTOML(file, f)
		exists = exists || document != nil
		network := document.table("crio").table("network")
		for _, dir := range append(network.strings("plugin_dirs"), network.strings("plugin_dir")...) {
			f.addBin(dir, file, true)
			told = true
		}
		for _, dir := range network.strings("network_dir") {
			f.addConfDir(dir)
		}
	}
	if exists && !told { // it has a built-in place, which some distributions have changed
		f.addBin(defaultBinDir, crioConfig, false)
	}
}

// multusConfig is what matters of Multus' configuration, alone in a file or in a list of plugins.
type multusConfig struct {
	Type    string         `json:"type"`
	BinDir  string         `json:"binDir"`
	Plugins []multusConfig `json:"plugins"`
}

func (c multusConfig) isMultus() bool { return strings.HasPrefix(c.Type, "multus") }

// isConfiguration tells whether runtimes read a file for CNI configuration.
func isConfiguration(file string) bool {
	return slices.Contains([]string{".conf", ".conflist", ".json"}, path.Ext(file))
}

// readMultus reads the configuration of Multus in the directory of CNI configurations dir: it looks for the plugins of second
// interfaces in a directory of its own besides those of the runtime.
func (h *host) readMultus(dir string, f *findings) {
	for _, file := range h.files(dir) {
		if !isConfiguration(file) {
			continue
		}
		content, err := h.readFile(file)
		if err != nil {
			f.warnings = append(f.warnings, fmt.Sprintf("%s: %v", file, err))
			continue
		}
		var config multusConfig
		if json.Unmarshal(content, &config) != nil {
			continue // the runtime's to complain about
		}
		for _, plugin := range append(config.Plugins, config) {
			switch {
			case !plugin.isMultus():
			case plugin.BinDir != "":
				f.addBin(plugin.BinDir, file, false)
			case h.isDir(defaultBinDir):
				// Multus' own default, whatever the runtime's directory is. The thick one's is in a ConfigMap, which is not here to be read.
				f.addBin(defaultBinDir, file, false)
			}
		}
	}
}

// table is a table of TOML; the nil one is empty.
type table map[string]any

func (t table) table(key string) table {
	inner, _ := t[key].(map[string]any) // what is no table is an empty one
	return inner
}

// strings are the string or the strings at key, without empty ones.
func (t table) strings(key string) []string {
	var all []string
	switch value := t[key].(type) {
	case string:
		all = []string{value}
	case []any:
		for _, element := range value {
			if s, ok := element.(string); ok {
				all = append(all, s)
			}
		}
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}
