// SPDX-License-Identifier: Apache-2.0

package execs

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/macpool/macpool/hack/bench/rig"
)

const (
	module  = "github.com/macpool/macpool"
	plugins = "github.com/containernetworking/plugins/plugins"
)

// candidate is a plugin to measure.
type candidate struct {
	name, path string
	// conf is its standard input.
	conf string
	// answers: its ADD prints addresses.
	answers bool

	size     int64
	packages int
	// symbols: it was linked with its symbol table or with what debuggers read, which are never loaded but count in its size.
	symbols bool

	costs map[string]*cost      // by verb
	peaks map[string]rig.Memory // by verb
}

// candidates are the plugins, macpool as it was built for release and the others as they were found.
func candidates(ctx context.Context, r *rig.Rig, dir string) ([]*candidate, error) {
	const network = `{"cniVersion":"1.0.0","name":"iot-vlan","type":"macvlan","master":"eth0.50","mode":"bridge","ipam":%s}`
	all := []*candidate{
		{name: "macpool", path: filepath.Join(r.Options.Bin, "macpool"), conf: `{"type":"macpool","pool":"iot"}`, answers: true},
		{name: baseline, path: filepath.Join(dir, baseline), conf: `{"type":"skelonly"}`},
		{
			name: "host-local", path: filepath.Join(r.Options.CNI, "host-local"), answers: true,
			conf: fmt.Sprintf(`{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":"192.168.50.0/24"}]]}`, filepath.Join(r.Disk, "host-local")),
		},
		{
			name: "static", path: filepath.Join(r.Options.CNI, "static"), answers: true,
			conf: `{"type":"static","addresses":[{"address":"192.168.50.8/24","gateway":"192.168.50.1"}]}`,
		},
	}
	pkgs := map[string]string{
		"macpool": module + "/cmd/macpool", baseline: module + "/hack/bench/skelonly", "host-local": plugins + "/ipam/host-local", "static": plugins + "/ipam/static",
	}
	if err := build(ctx, r.Options.Root, pkgs[baseline], all[1].path); err != nil {
		return nil, err
	}
	bin := filepath.Join(r.Disk, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory for the plugins: %w", err)
	}
	for _, c := range all {
		c.conf = fmt.Sprintf(network, c.conf)
		c.costs, c.peaks = map[string]*cost{}, map[string]rig.Memory{}
		for _, verb := range verbs {
			c.costs[verb] = newCost(c.name + " " + verb)
		}
		if err := c.look(ctx, r.Options.Root, pkgs[c.name]); err != nil {
			return nil, fmt.Errorf("looking at %s: %w", c.path, err)
		}
		if err := c.copyTo(bin); err != nil {
			return nil, fmt.Errorf("copying %s: %w", c.path, err)
		}
	}
	return all, nil
}

// build makes a plugin as macpool's is made for release.
func build(ctx context.Context, root, pkg, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, pkg) //nolint:gosec // a package of ours
	cmd.Dir, cmd.Stderr = root, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s: %w", pkg, err)
	}
	return nil
}

// copyTo has the plugin run from a copy. How a file lies in the page cache depends on who wrote it: what a linker has just written costs up to
// a quarter more per exec than the same file copied. All are therefore written alike, and as an installer writes them.
func (c *candidate) copyTo(dir string) error {
	program, err := os.ReadFile(c.path)
	if err != nil {
		return err
	}
	c.path = filepath.Join(dir, c.name)
	return os.WriteFile(c.path, program, 0o700) //nolint:gosec // G306: it is a program
}

// look finds out how large the plugin is, and what is in it.
func (c *candidate) look(ctx context.Context, root, pkg string) error {
	info, err := os.Stat(c.path)
	if err != nil {
		return err
	}
	c.size = info.Size()
	file, err := elf.Open(c.path)
	if err != nil {
		return err
	}
	c.symbols = file.Section(".symtab") != nil || file.Section(".debug_info") != nil || file.Section(".zdebug_info") != nil
	if err := file.Close(); err != nil {
		return err
	}
	list := exec.CommandContext(ctx, "go", "list", "-deps", pkg) //nolint:gosec // a package of the module
	list.Dir, list.Stderr = root, os.Stderr
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	deps, err := list.Output()
	if err != nil {
		return fmt.Errorf("listing its packages: %w", err)
	}
	c.packages = bytes.Count(deps, []byte("\n"))
	return nil
}
