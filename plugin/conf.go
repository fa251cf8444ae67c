// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	cnitypes "github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

// Type is the name by which network configurations call the plugin; the binary is called so too.
const Type = cni.Type

// role is what a call is about.
type role int

const (
	// ipam: the input is the whole configuration of the main plugin that runs us.
	ipam role = iota
	// chained: an entry of the list, after the main plugin.
	chained
	// wrapper: the plugin of the network, which runs its delegate.
	wrapper
	// inner: the ipam of a delegate. The wrapper, which runs it, has the lease.
	inner
)

// conf is what macpool reads of its input.
type conf struct {
	CNIVersion string          `json:"cniVersion"`
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Pool       string          `json:"pool"`
	IPAM       ipamBlock       `json:"ipam"`
	Delegate   json.RawMessage `json:"delegate"`

	// RuntimeConfig is the runtime's word, Args.CNI that of the pod's cni-args annotation: a tenant wrote it, and it may be
	// anything. Neither is proof of anything; the agent judges what they ask for.
	RuntimeConfig seldom[wish] `json:"runtimeConfig"`
	Args          seldom[args] `json:"args"`

	PrevResult       map[string]any                  `json:"prevResult"`
	ValidAttachments seldom[[]cnitypes.GCAttachment] `json:"cni.dev/valid-attachments"`

	// raw is the input, for what only some main plugins' configurations have.
	raw []byte
	// prev is PrevResult, nil if there is none.
	prev *types100.Result
}

type ipamBlock struct {
	Type   string            `json:"type"`
	Pool   string            `json:"pool"`
	Routes []*cnitypes.Route `json:"routes"`

	DNS seldom[cnitypes.DNS] `json:"dns"`
	// Wrapped is what the wrapper writes into its delegate's block. Who writes it into a network's gets nothing by it: without the
	// wrapper's lease there are no addresses.
	Wrapped bool `json:"wrapped"`
	// IPAM is the delegate's own ipam block, which gives the addresses if the lease is a MAC alone. The wrapper writes it too.
	IPAM json.RawMessage `json:"ipam"`
}

// seldom is a part of a message that most calls do not have. It is closed to encoding/json, which otherwise studies the types of all fields
// before it reads the first, in each process anew: the largest part of what an ADD spends outside the kernel.
type seldom[T any] struct{ is T }

// UnmarshalJSON reads the part, which is there.
func (s *seldom[T]) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &s.is) }

// MarshalJSON is what closes it: of a type that writes itself nobody looks at the fields.
func (s seldom[T]) MarshalJSON() ([]byte, error) { return json.Marshal(s.is) }

type args struct {
	CNI cniWish `json:"cni"`
}

type wish struct {
	IPs []string `json:"ips"`
	MAC string   `json:"mac"`
}

// cniWish is a wish, and the name of the claim that the interface is to have. It embeds nothing: messages name the path of what is wrong.
type cniWish struct {
	IPs   []string `json:"ips"`
	MAC   string   `json:"mac"`
	Claim string   `json:"claim"`
}

// parseConf reads the input of all verbs but DEL.
func parseConf(data []byte) (*conf, error) {
	c := &conf{raw: data}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, badJSON(err)
	}
	if slices.Contains(c.IPAM.Routes, nil) {
		return nil, problem.BadConfig.New("ipam.routes has an empty element")
	}
	if c.PrevResult == nil {
		return c, nil
	}
	// A result without interfaces of its own version is possible before 1.0.0; the library knows the rules.
	prev := &cnitypes.PluginConf{CNIVersion: c.CNIVersion, RawPrevResult: c.PrevResult}
	if err := version.ParsePrevResult(prev); err != nil {
		return nil, problem.BadConfig.New("prevResult: " + err.Error()).WithCause(err)
	}
	result, err := types100.NewResultFromResult(prev.PrevResult)
	if err != nil {
		return nil, problem.BadConfig.New("prevResult: " + err.Error()).WithCause(err)
	}
	c.prev = result
	return c, nil
}

// skimConf reads what it can, for DEL: each part by itself, so that one that makes no sense does not hide the others.
func skimConf(data []byte) *conf {
	var parts struct {
		Name json.RawMessage `json:"name"`
		Type json.RawMessage `json:"type"`
		IPAM json.RawMessage `json:"ipam"`

		CNIVersion json.RawMessage `json:"cniVersion"`
		Pool       json.RawMessage `json:"pool"`
		Delegate   json.RawMessage `json:"delegate"`
	}
	var block struct {
		Pool    json.RawMessage `json:"pool"`
		Wrapped json.RawMessage `json:"wrapped"`
		IPAM    json.RawMessage `json:"ipam"`
	}
	_ = json.Unmarshal(data, &parts)
	_ = json.Unmarshal(parts.IPAM, &block)
	c := &conf{raw: data, Delegate: parts.Delegate, IPAM: ipamBlock{IPAM: block.IPAM}}
	_ = json.Unmarshal(parts.Name, &c.Name)
	_ = json.Unmarshal(parts.Type, &c.Type)
	_ = json.Unmarshal(parts.CNIVersion, &c.CNIVersion)
	_ = json.Unmarshal(parts.Pool, &c.Pool)
	_ = json.Unmarshal(block.Pool, &c.IPAM.Pool)
	_ = json.Unmarshal(block.Wrapped, &c.IPAM.Wrapped)
	return c
}

func badJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return problem.BadConfig.New(fmt.Sprintf("%s must not be a JSON %s", wrong.Field, wrong.Value)).WithCause(err)
	}
	return problem.BadConfig.New(err.Error()).WithCause(err)
}

func (c *conf) role() (role, error) {
	switch {
	case c.Type != Type && c.IPAM.Type == Type && c.IPAM.Wrapped:
		return inner, nil
	case c.Type != Type && c.IPAM.Type == Type:
		return ipam, nil
	case c.Type != Type:
		return 0, problem.UnknownRole.New(fmt.Sprintf("neither type nor ipam.type of network %q is %s", c.Name, Type))
	case c.IPAM.Type != "" && len(c.Delegate) != 0:
		return 0, problem.UnknownRole.New(fmt.Sprintf("network %q has an ipam block beside the delegate; name the pool there", c.Name)).
			WithFix(`Write "type": "macpool", "pool": "NAME", "delegate": {...}.`)
	case c.IPAM.Type != "":
		return 0, problem.UnknownRole.New(fmt.Sprintf("the chained entry of network %q has an ipam block, which belongs to the plugin that makes the interface", c.Name))
	case len(c.Delegate) != 0:
		return wrapper, nil
	default:
		return chained, nil
	}
}

func (c *conf) noPool() error {
	e := problem.NoPoolNamed.New(c.Name)
	if len(c.Delegate) != 0 {
		return e.WithFix(`Write "pool": "NAME" beside the delegate.`)
	}
	return e
}

// pool is where the role has it: in the ipam block, or beside the delegate.
func (c *conf) pool() string {
	if c.Type == Type {
		return c.Pool
	}
	return c.IPAM.Pool
}

// wish is what the pod asks for: the runtime's word counts before the annotation's, and that before the environment's,
// addresses and MAC each for itself. Multus writes one wish into several of them.
func (c *conf) wish(env cniArgs) agentapi.Wish {
	w := agentapi.Wish{IPs: env.ips, MAC: env.mac, Claim: c.Args.is.CNI.Claim}
	for _, by := range []wish{{IPs: c.Args.is.CNI.IPs, MAC: c.Args.is.CNI.MAC}, c.RuntimeConfig.is} {
		if len(by.IPs) != 0 {
			w.IPs = by.IPs
		}
		if by.MAC != "" {
			w.MAC = by.MAC
		}
	}
	return w
}
