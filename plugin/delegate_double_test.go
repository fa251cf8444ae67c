// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	cnitypes "github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
	cniipam "github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
)

// delegateDouble is what the test's own binary does when it is called by the name of a plugin: it makes one end of a veth pair in the pod as
// others do that need a device or a daemon, or does not behave. It writes down how it was called.
type delegateDouble struct {
	cnitypes.PluginConf

	// Log is a file to which each call adds a line.
	Log string `json:"log"`
	// Fail names the verbs to fail.
	Fail map[string]uint `json:"fail"`
	// DeviceID is what Multus adds for a network with a device.
	DeviceID string `json:"deviceID"`
	Runtime  struct {
		MAC string `json:"mac"`
	} `json:"runtimeConfig"`
	Args struct {
		CNI map[string]any `json:"cni"`
	} `json:"args"`
}

// delegateCall is a line of the log.
type delegateCall struct {
	Command, Args string
	Conf          map[string]any
	// MAC is that of the interface when the double was called as an IPAM plugin.
	MAC string
}

// doubles are the names by which the double is called.
// shy leaves the MAC alone and the interface down; addresses is an IPAM plugin.
var doubles = []string{"sriov", "ovs", "stubborn", "fickle", "refusing", "lazy", "liar", "failing", "shy", "addresses"}

// isDouble runs the double if that is what this process was started for.
func isDouble() bool {
	name := filepath.Base(os.Args[0])
	for _, d := range doubles {
		if name == d {
			skel.PluginMainFuncs(skel.CNIFuncs{
				Add:    func(args *skel.CmdArgs) error { return serveDouble(name, "ADD", args) },
				Del:    func(args *skel.CmdArgs) error { return serveDouble(name, "DEL", args) },
				Check:  func(args *skel.CmdArgs) error { return serveDouble(name, "CHECK", args) },
				GC:     func(args *skel.CmdArgs) error { return serveDouble(name, "GC", args) },
				Status: func(args *skel.CmdArgs) error { return serveDouble(name, "STATUS", args) },
			}, version.All, name)
			return true
		}
	}
	return false
}

// doublePath is a directory with the doubles.
func doublePath(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range doubles {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func serveDouble(kind, verb string, args *skel.CmdArgs) error {
	conf := &delegateDouble{}
	call := delegateCall{Command: verb, Args: args.Args}
	if err := errors.Join(json.Unmarshal(args.StdinData, conf), json.Unmarshal(args.StdinData, &call.Conf)); err != nil {
		return err
	}
	if kind == "addresses" {
		conf.Log, _ = call.Conf["ipam"].(map[string]any)["log"].(string)
		call.MAC = macIn(args)
	}
	line, err := json.Marshal(call)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(conf.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	if _, err := log.Write(append(line, '\n')); err != nil {
		return err
	}
	if code, ok := conf.Fail[verb]; ok {
		return cnitypes.NewError(code, "the device is busy", "")
	}
	switch {
	case kind == "addresses" && verb == "ADD":
		ip := net.IPNet{IP: net.IPv4(192, 168, 50, 77), Mask: net.CIDRMask(24, 32)}
		return cnitypes.PrintResult(&types100.Result{CNIVersion: types100.ImplementedSpecVersion, IPs: []*types100.IPConfig{{Address: ip}}}, conf.CNIVersion)
	case kind == "addresses":
		return nil
	}
	switch verb {
	case "ADD":
		return conf.add(kind, args)
	case "DEL":
		return conf.del(args)
	default:
		return nil
	}
}

// macIn is the MAC of the pod's interface.
func macIn(args *skel.CmdArgs) (mac string) {
	_ = ns.WithNetNSPath(args.Netns, func(ns.NetNS) error {
		link, err := netlink.LinkByName(args.IfName)
		if err == nil {
			mac = link.Attrs().HardwareAddr.String()
		}
		return err
	})
	return mac
}

// asked is the MAC that the caller asks for, where plugins of the kind look for it: sriov in CNI_ARGS and runtimeConfig, ovs in CNI_ARGS
// and args.cni.
func (d *delegateDouble) asked(kind, cniArgs string) string {
	mac := parseArgs(cniArgs).mac
	switch {
	case kind == "sriov" && d.Runtime.MAC != "":
		return strings.ToLower(d.Runtime.MAC)
	case kind == "ovs" && mac == "":
		mac, _ = d.Args.CNI["mac"].(string)
	}
	return mac
}

func (d *delegateDouble) add(kind string, args *skel.CmdArgs) error {
	mac := d.asked(kind, args.Args)
	switch {
	case kind == "refusing" && mac != "":
		return fmt.Errorf("the administrator of the device does not allow MAC %s", mac)
	case kind == "sriov" && d.DeviceID == "":
		return errors.New("VF pci addr is required")
	}
	sandbox, err := ns.GetNS(args.Netns)
	if err != nil {
		return err
	}
	defer func() { _ = sandbox.Close() }()
	iface := &types100.Interface{Name: args.IfName, Sandbox: args.Netns}
	// sriov has set the interface up before it asks for the addresses.
	err = sandbox.Do(func(ns.NetNS) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = args.IfName
		if kind != "stubborn" && kind != "fickle" && kind != "shy" {
			attrs.HardwareAddr, _ = net.ParseMAC(mac)
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}); err != nil {
			return err
		}
		link, err := netlink.LinkByName(args.IfName)
		if err != nil {
			return err
		}
		iface.Mac = link.Attrs().HardwareAddr.String()
		if kind == "sriov" || kind == "stubborn" {
			return netlink.LinkSetUp(link)
		}
		return nil
	})
	if err != nil {
		return err
	}
	result := &types100.Result{CNIVersion: types100.ImplementedSpecVersion, Interfaces: []*types100.Interface{iface}}
	if kind != "lazy" {
		leased, err := cniipam.ExecAdd(d.IPAM.Type, args.StdinData)
		if err != nil {
			return err
		}
		addresses, err := types100.NewResultFromResult(leased)
		if err != nil {
			return err
		}
		for _, ip := range addresses.IPs {
			ip.Interface = new(0)
		}
		result.IPs, result.Routes = addresses.IPs, addresses.Routes
	}
	if kind == "fickle" { // as ovs, when it was not asked for a MAC
		mac = "0a:58:c0:a8:32:08"
		iface.Mac = mac
	}
	err = sandbox.Do(func(ns.NetNS) error {
		if kind == "fickle" {
			link, err := netlink.LinkByName(args.IfName)
			if err != nil {
				return err
			}
			own, _ := net.ParseMAC(mac)
			if err := netlink.LinkSetHardwareAddr(link, own); err != nil {
				return err
			}
		}
		return cniipam.ConfigureIface(args.IfName, result)
	})
	if err != nil {
		return err
	}
	if kind == "liar" {
		result.IPs[0].Address = net.IPNet{IP: net.IPv4(192, 168, 50, 99), Mask: net.CIDRMask(24, 32)}
	}
	if kind == "failing" {
		return errors.New("it failed at the end")
	}
	return cnitypes.PrintResult(result, d.CNIVersion)
}

// del removes the interface as sriov does: first its ipam, then the link.
func (d *delegateDouble) del(args *skel.CmdArgs) error {
	if err := cniipam.ExecDel(d.IPAM.Type, args.StdinData); err != nil {
		return err
	}
	if args.Netns == "" {
		return nil
	}
	sandbox, err := ns.GetNS(args.Netns)
	if err != nil {
		return nil // it is gone, and the interface with it
	}
	defer func() { _ = sandbox.Close() }()
	return sandbox.Do(func(ns.NetNS) error {
		link, err := netlink.LinkByName(args.IfName)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		return netlink.LinkDel(link)
	})
}

// delegateLog reads what the double was asked.
func delegateLog(t *testing.T, path string) []delegateCall {
	t.Helper()
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var calls []delegateCall
	for line := range strings.Lines(string(data)) {
		var call delegateCall
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, call)
	}
	return calls
}

func verbsOf(calls []delegateCall) string {
	var verbs []string
	for _, call := range calls {
		verbs = append(verbs, call.Command)
	}
	return strings.Join(verbs, " ")
}
