// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/libcni"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	nadutils "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Network is a network to attach, as Multus makes it of an element of the annotation and the NetworkAttachmentDefinition that
// it names.
type Network struct {
	// Name is the NetworkAttachmentDefinition, namespace/name.
	Name string
	// Config is its CNI configuration.
	Config string
	// Interface is the interface's name in the pod.
	Interface string
	// IPs and MAC are the element's wishes.
	IPs []string
	MAC string
}

// list is the configuration as a list; a single plugin is a list of one.
func (net Network) list() (*libcni.NetworkConfigList, error) {
	list, err := libcni.NetworkConfFromBytes([]byte(net.Config))
	if err == nil && len(list.Plugins) > 0 {
		return list, nil
	}
	single, singleErr := libcni.NetworkPluginConfFromBytes([]byte(net.Config))
	if singleErr != nil {
		if err == nil {
			err = singleErr
		}
		return nil, fmt.Errorf("reading the configuration of %s: %w", net.Name, err)
	}
	return libcni.ConfListFromConf(single) //nolint:staticcheck // such networks exist, and Multus takes them
}

// wishArgs are the CNI_ARGS that Multus adds for wishes: in ADD only, and whether or not a plugin has the capability.
func (net Network) wishArgs() [][2]string {
	var args [][2]string
	if net.MAC != "" {
		args = append(args, [2]string{"MAC", net.MAC})
	}
	if len(net.IPs) > 0 {
		args = append(args, [2]string{"IP", strings.Join(net.IPs, ",")})
	}
	return args
}

// capabilities are the same wishes for the plugins that have the capability.
func (net Network) capabilities() map[string]any {
	args := map[string]any{}
	if net.MAC != "" {
		args["mac"] = net.MAC
	}
	if len(net.IPs) > 0 {
		args["ips"] = net.IPs
	}
	return args
}

// Networks are the networks of a pod's annotation.
func (l *Lab) Networks(ctx context.Context, pod *corev1.Pod) ([]Network, error) {
	elements, err := nadutils.ParsePodNetworkAnnotation(pod)
	if err != nil {
		return nil, fmt.Errorf("reading the annotation of pod %s: %w", pod.Name, err)
	}
	var nets []Network
	for i, e := range elements {
		config, err := l.networkConfig(ctx, e.Namespace, e.Name)
		if err != nil {
			return nil, err
		}
		nets = append(nets, networkOf(i, e, config))
	}
	return nets, nil
}

// networkConfig is the configuration of a NetworkAttachmentDefinition; one without a name gets that of the object.
func (l *Lab) networkConfig(ctx context.Context, namespace, name string) (string, error) {
	nad := &nadv1.NetworkAttachmentDefinition{}
	key := client.ObjectKey{Namespace: namespace, Name: name}
	if err := l.Client.Get(ctx, key, nad); err != nil {
		return "", fmt.Errorf("getting network %s: %w", key, err)
	}
	config, err := nadutils.GetCNIConfigFromSpec(nad.Spec.Config, nad.Name)
	if err != nil {
		return "", fmt.Errorf("reading the configuration of %s: %w", key, err)
	}
	return string(config), nil
}

// networkOf is the i-th network of an annotation.
func networkOf(i int, e *nadv1.NetworkSelectionElement, config string) Network {
	net := Network{
		Name: e.Namespace + "/" + e.Name, Config: config, Interface: e.InterfaceRequest, IPs: e.IPRequest, MAC: e.MacRequest,
	}
	if net.Interface == "" {
		net.Interface = fmt.Sprintf("net%d", i+1)
	}
	return net
}

// NetworkStatus is the text of the annotation k8s.v1.cni.cncf.io/network-status, made of the final results by the library
// that Multus uses.
func (s *Sandbox) NetworkStatus() (string, error) {
	var all []*nadv1.NetworkStatus
	for _, a := range s.Attachments {
		status, err := nadutils.CreateNetworkStatus(a.Raw, a.Network, false, nil)
		if err != nil {
			return "", fmt.Errorf("making the network status of %s: %w", a.Network, err)
		}
		all = append(all, status)
	}
	text, err := json.MarshalIndent(all, "", "    ")
	if err != nil {
		return "", fmt.Errorf("writing the network status: %w", err)
	}
	return string(text), nil
}
