// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	cnitypes "github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

// object is a JSON object of which only some keys are read.
type object map[string]json.RawMessage

// delegate is the plugin that the wrapper runs.
type delegate struct {
	kind string
	conf object
	ipam object
	raw  []byte
	// block is what macpool reads of the delegate's ipam, if that is macpool's to serve.
	block ipamBlock
	// own is the IPAM plugin that the delegate names instead of macpool: it gives the addresses, and the lease is a MAC alone.
	own string
	// needsMaster: it has none, and would take the link of the node's default route.
	needsMaster bool
}

// known is what a lease says of the interface; nothing, for a verb that asks for no lease. alone: it is a MAC alone.
type known struct {
	mac, parent string
	alone       bool
}

func knownOf(lease *agentapi.Lease) known {
	return known{mac: lease.MAC, parent: lease.Parent, alone: len(lease.IPs) == 0}
}

// anyLink is on every node. macvlan looks at its master's MTU whatever the verb, but has no other use for it than to make an interface: a
// DEL must not fail because the link is gone, or because nobody knows any more which it was.
const anyLink = "lo"

// delegate reads the delegate's configuration.
func (c *conf) delegate() (*delegate, error) {
	bad := func(format string, args ...any) error {
		return problem.BadDelegate.New(c.Name, fmt.Sprintf(format, args...))
	}
	d := &delegate{raw: c.Delegate}
	if err := json.Unmarshal(c.Delegate, &d.conf); err != nil || d.conf == nil {
		return nil, bad("it is no JSON object")
	}
	if json.Unmarshal(d.conf["type"], &d.kind) != nil || d.kind == "" {
		return nil, bad("it names no type")
	}
	if d.kind == Type || d.kind != filepath.Base(d.kind) {
		return nil, bad("its type is %s", d.kind)
	}
	if block := d.conf["ipam"]; block != nil {
		if err := json.Unmarshal(block, &d.ipam); err != nil {
			return nil, bad("its ipam block is no JSON object")
		}
		var kind string
		_ = json.Unmarshal(d.ipam["type"], &kind)
		if kind != "" && kind != Type {
			d.own = kind // whose form the rest has
		} else if err := json.Unmarshal(block, &d.block); err != nil {
			return nil, badJSON(err)
		}
	}
	d.needsMaster = cni.NeedsMaster(d.kind, d.raw)
	switch {
	case d.own != filepath.Base(d.own) && d.own != "":
		return nil, bad("its ipam is %s", d.own)
	case d.block.Pool != "" && d.block.Pool != c.Pool:
		return nil, bad("its ipam block names pool %s, and the network pool %s", d.block.Pool, c.Pool)
	case slices.Contains(d.block.Routes, nil):
		return nil, bad("its ipam.routes has an empty element")
	}
	return d, nil
}

// handedDown are keys of the wrapper's entry that are meant for the plugin that makes the interface: Multus puts the device of an SR-IOV
// network there, libcni what is kept and valid.
var handedDown = []string{"deviceID", "pciBusID", "prevResult", "cni.dev/valid-attachments", "cni.dev/attachments"}

// stdin is the delegate's input, with the MAC, if that is known, in all places where main plugins look for one, and the pool's parent as
// master if it has none. Where the pod's own wish stands is emptied: the lease is the answer to it. Its ipam is macpool itself: no other IPAM plugin need be on the node, and the
// addresses are known to the agent, whom it asks for them. If it names another, macpool stands before that one, and sets the MAC on an interface
// that is down before it is asked: a plugin that takes no MAC would else ask a DHCP server with one of the kernel's. An interface whose lease is
// a MAC alone, and that has no other IPAM, has none.
func (d *delegate) stdin(c *conf, verb string, of known) ([]byte, error) {
	var top object
	if err := json.Unmarshal(c.raw, &top); err != nil {
		return nil, badJSON(err)
	}
	conf := maps.Clone(d.conf)
	for _, key := range handedDown {
		if value, ok := top[key]; ok && conf[key] == nil {
			conf[key] = value
		}
	}
	if verb == "ADD" {
		delete(conf, "prevResult") // it begins the network
	}
	runtime := objectOf(top["runtimeConfig"])
	delete(runtime, "ips")
	delete(runtime, "mac")
	if of.mac != "" {
		runtime["mac"] = text(of.mac)
	}
	if d.needsMaster {
		conf["master"] = text(cmp.Or(of.parent, anyLink))
	}
	if len(runtime) != 0 {
		conf["runtimeConfig"] = encode(runtime)
	}
	args := objectOf(conf["args"])
	maps.Copy(args, objectOf(top["args"]))
	if own := objectOf(args["cni"]); len(own) != 0 {
		for _, wish := range []string{"ips", "mac", "claim"} {
			delete(own, wish)
		}
		args["cni"] = encode(own)
	}
	if len(args) != 0 {
		conf["args"] = encode(args)
	}
	block := object{}
	if d.own != "" {
		block["ipam"] = encode(d.ipam)
	} else {
		maps.Copy(block, d.ipam)
	}
	block["type"], block["pool"], block["wrapped"] = text(Type), text(c.Pool), json.RawMessage("true")
	conf["ipam"], conf["cniVersion"], conf["name"] = encode(block), text(c.CNIVersion), text(c.Name)
	if of.alone && d.own == "" && verb == "ADD" { // of other verbs bridge asks its ipam whether it has one or not; macpool answers
		delete(conf, "ipam")
	}
	return json.Marshal(conf)
}

// objectOf is never nil.
func objectOf(raw json.RawMessage) object {
	var o object
	if json.Unmarshal(raw, &o) != nil || o == nil {
		return object{}
	}
	return o
}

func encode(o object) json.RawMessage {
	raw, err := json.Marshal(o)
	if err != nil { // its parts were JSON when they were read
		return json.RawMessage("{}")
	}
	return raw
}

func text(s string) json.RawMessage {
	raw, err := json.Marshal(s)
	if err != nil { // no string is refused
		return json.RawMessage(`""`)
	}
	return raw
}

// argsWith is CNI_ARGS with the MAC in place of what the pod asked for.
func argsWith(cniArgs, mac string) string {
	var pairs []string
	for pair := range strings.SplitSeq(cniArgs, ";") {
		if key, _, _ := strings.Cut(pair, "="); pair != "" && key != "MAC" && key != "IP" {
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(append(pairs, "MAC="+mac), ";")
}

// find looks for the delegate where the runtime looks for plugins.
func (d *delegate) find(args *skel.CmdArgs, network string) (string, error) {
	path, err := invoke.FindInPath(d.kind, filepath.SplitList(args.Path))
	if err != nil {
		return "", problem.DelegateMissing.New(d.kind, network, args.Path).WithCause(err)
	}
	return path, nil
}

// run runs the delegate.
func (p *Plugin) run(ctx context.Context, verb string, args *skel.CmdArgs, c *conf, d *delegate, of known) (*types100.Result, error) {
	path, err := d.find(args, c.Name)
	if err != nil {
		return nil, err
	}
	stdin, err := d.stdin(c, verb, of)
	if err != nil {
		return nil, err
	}
	cniArgs := args.Args
	if of.mac != "" {
		cniArgs = argsWith(args.Args, of.mac)
	}
	return p.exec(ctx, verb, args, otherPlugin{kind: d.kind, path: path, network: c.Name, stdin: stdin, args: cniArgs})
}

// otherPlugin is another plugin's call.
type otherPlugin struct {
	kind, path, network string
	stdin               []byte
	args                string
}

// exec runs another plugin.
func (p *Plugin) exec(ctx context.Context, verb string, args *skel.CmdArgs, other otherPlugin) (*types100.Result, error) {
	env := &invoke.Args{
		Command: verb, ContainerID: args.ContainerID, NetNS: args.Netns, IfName: args.IfName, Path: args.Path, PluginArgsStr: other.args,
	}
	exec := &invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: p.Stderr}, PluginDecoder: version.PluginDecoder{}}
	failed := func(err error) error { return delegateFailed(verb, other.kind, other.network, err) }
	if verb != "ADD" {
		if err := invoke.ExecPluginWithoutResult(ctx, other.path, other.stdin, env, exec); err != nil {
			return nil, failed(err)
		}
		return nil, nil //nolint:nilnil // only ADD has a result
	}
	result, err := invoke.ExecPluginWithResult(ctx, other.path, other.stdin, env, exec)
	if err != nil {
		return nil, failed(err)
	}
	converted, err := types100.NewResultFromResult(result)
	if err != nil {
		return nil, failed(err)
	}
	return converted, nil
}

// delegateFailed says what the delegate has said, with its code if that tells the runtime what to do.
func delegateFailed(verb, kind, network string, err error) error {
	said := problem.DelegateFailed.New(verb, kind, network, err.Error()).WithCause(err)
	var e *cnitypes.Error
	if !errors.As(err, &e) {
		return said
	}
	said.Message = fmt.Sprintf(problem.DelegateFailed.Sentence, verb, kind, network, strings.TrimSpace(e.Msg+" "+e.Details))
	const limited = problem.CNIUnavailable + 1
	switch e.Code {
	case problem.CNITryAgain, problem.CNIUnavailable, limited:
		worded := *saying(said)
		worded.CNI = e.Code
		return &worded
	default:
		return said
	}
}

// forward runs the delegate for a verb that has no result.
func (p *Plugin) forward(ctx context.Context, verb string, args *skel.CmdArgs, c *conf, of known) error {
	d, err := c.delegate()
	if err != nil {
		return err
	}
	_, err = p.run(ctx, verb, args, c, d, of)
	return err
}
