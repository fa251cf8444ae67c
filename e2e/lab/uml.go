// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// User-mode Linux is a kernel that is an ordinary process: it needs neither KVM nor a disk image. The guest's root is the
// file system of the machine that it runs on, by hostfs and read-only, under an overlay in the guest's memory, so that all programs
// are at the same paths. That is no security boundary: root in the guest could write to hostfs.

// umlModules are the modules that nodes need.
var umlModules = []string{"overlay", "ipv6", "8021q", "macvlan"}

// umlMemory is enough for the agent, the program of the test, a plugin or two, and what of their files the kernel keeps.
const umlMemory = "384M"

// umlKernel is an installed User-mode Linux.
type umlKernel struct {
	path    string
	modules []string // paths, each behind those that it depends on
}

// findUML looks for what Debian's package user-mode-linux installs, and for the device that its network needs.
func findUML() (*umlKernel, error) {
	k := &umlKernel{}
	var errs []error
	var err error
	if k.path, err = exec.LookPath("linux.uml"); err != nil {
		errs = append(errs, fmt.Errorf("its kernel linux.uml (Debian: apt-get install user-mode-linux) is missing: %w", err))
	}
	const modules = "/usr/lib/uml/modules/*"
	dirs, _ := filepath.Glob(modules) // the pattern is good
	if len(dirs) == 0 {
		errs = append(errs, fmt.Errorf("its modules %s (same package) are missing", modules))
	} else {
		k.modules, err = modulesIn(dirs[len(dirs)-1])
		errs = append(errs, err)
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		errs = append(errs, fmt.Errorf("/dev/net/tun (modprobe tun; in a container, give it the device) cannot be opened: %w", err))
	} else {
		errs = append(errs, tun.Close())
	}
	return k, errors.Join(errs...)
}

// modulesIn finds the modules in a directory as depmod leaves it: a line of modules.dep has a file, a colon, and the files that it
// depends on, the nearest first. What has no line is built in.
func modulesIn(dir string) ([]string, error) {
	deps, err := os.ReadFile(filepath.Join(dir, "modules.dep")) //nolint:gosec // of an installed package
	if err != nil {
		return nil, fmt.Errorf("reading which modules there are: %w", err)
	}
	lines := map[string][]string{} // module -> its file, and those that it depends on
	for line := range strings.Lines(string(deps)) {
		files := strings.Fields(strings.Replace(line, ":", "", 1))
		if len(files) > 0 {
			lines[strings.TrimSuffix(filepath.Base(files[0]), ".ko")] = files
		}
	}
	var paths []string
	for _, name := range umlModules {
		for _, file := range slices.Backward(lines[name]) {
			if path := filepath.Join(dir, file); !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths, nil
}

// bootUML starts a kernel with its cables in the switch's network namespace. Its init, umlinit, becomes the program.
func (l *Lab) bootUML(n *Node, program string, config machineConfig) (*Process, error) {
	k, err := findUML()
	if err != nil {
		return nil, err
	}
	env, err := config.write(n.dir)
	if err != nil {
		return nil, err
	}
	node := len(l.Nodes)
	// Kernel arguments that the kernel does not know and that have a value become the environment of init.
	args := []string{
		"mem=" + umlMemory, "root=none", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "init=" + filepath.Join(l.opts.Bin, "umlinit"),
		env, "MACPOOL_PROGRAM=" + program, "MACPOOL_MODULES=" + strings.Join(k.modules, ","),
		"con=null", "con0=null,fd:1", "umid=" + n.Name, "uml_dir=" + n.dir + "/",
	}
	for i, net := range []string{trunkBridge, nodeNetwork} {
		port := n.Name
		if net == nodeNetwork {
			port = "n-" + n.Name
		}
		if err := l.Switch.plugTap(net, port); err != nil {
			return nil, err
		}
		eth := strconv.Itoa(i)
		args = append(args, fmt.Sprintf("eth%s=tuntap,%s,02:00:00:fe:%02x:%02x", eth, port, i, node))
	}
	// Its memory is a file, which must lie where programs may be run from.
	return l.start(command{name: n.Name, path: k.path, args: args, env: []string{"TMPDIR=" + n.dir}, netns: l.Switch.ns})
}

// plugTap makes a port for a machine that sends and receives frames by a file.
func (s *Switch) plugTap(bridge, port string) error {
	return within(s.ns, func() error {
		tap := &netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: port}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI,
		}
		if err := netlink.LinkAdd(tap); err != nil {
			return fmt.Errorf("adding tap %s: %w", port, err)
		}
		link, err := netlink.LinkByName(port)
		if err != nil {
			return fmt.Errorf("looking up %s: %w", port, err)
		}
		return s.join(bridge, link)
	})
}
