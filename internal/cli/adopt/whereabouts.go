// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// allocation is an address that whereabouts has given to a pod's interface.
type allocation struct {
	ip  netip.Addr
	pod types.NamespacedName
	// iface is "" if an old release of whereabouts wrote it.
	iface string
}

// ipPool and reservation are the kinds in which whereabouts keeps its records:
// https://github.com/k8snetworkplumbingwg/whereabouts/tree/master/deploy/charts/whereabouts/crds. Allocations are keyed by their distance from the address in range;
// with enable_overlapping_ranges there is a reservation of each address, too, whose name is the address behind the name of a network, if it has one.
type ipPool struct {
	Spec struct {
		Range       string                  `json:"range"`
		Allocations map[string]allocatedFor `json:"allocations"`
	} `json:"spec"`
}

type reservation struct {
	Spec allocatedFor `json:"spec"`
}

type allocatedFor struct {
	PodRef string `json:"podref"`
	IfName string `json:"ifname"`
}

func whereaboutsList(kind string) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: "whereabouts.cni.cncf.io", Version: "v1alpha1", Kind: kind + "List"})
	return list
}

// allocationsOf are the addresses that whereabouts has given out, each once.
func allocationsOf(ctx context.Context, c client.Client) ([]allocation, error) {
	pools, reservations := whereaboutsList("IPPool"), whereaboutsList("OverlappingRangeIPReservation")
	for _, list := range []*unstructured.UnstructuredList{pools, reservations} {
		if err := readAll(ctx, c, list); err != nil {
			return nil, err
		}
	}
	return recorded(append(pools.Items, reservations.Items...))
}

// recorded reads IPPools and reservations.
func recorded(objects []unstructured.Unstructured) ([]allocation, error) {
	var all []allocation
	for i := range objects {
		o := &objects[i]
		var pool ipPool
		var r reservation
		into, isPool := any(&r), o.GetKind() == "IPPool"
		if isPool {
			into = &pool
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
			return nil, fmt.Errorf("reading %s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
		if isPool {
			all = append(all, pool.allocations()...)
		} else if ip, ok := reservedAddress(o.GetName()); ok {
			all = append(all, r.Spec.of(ip))
		}
	}
	slices.SortStableFunc(all, func(a, b allocation) int {
		return cmp.Or(a.ip.Compare(b.ip), cmp.Compare(a.pod.String(), b.pod.String()), -cmp.Compare(a.iface, b.iface)) // one without an interface last
	})
	return slices.CompactFunc(all, func(a, b allocation) bool {
		return a.ip == b.ip && a.pod == b.pod && (a.iface == b.iface || b.iface == "")
	}), nil
}

func (p *ipPool) allocations() []allocation {
	text, _, _ := strings.Cut(p.Spec.Range, "/")
	first, err := netip.ParseAddr(text)
	if err != nil {
		return nil
	}
	var all []allocation
	for _, key := range sortedKeys(p.Spec.Allocations) {
		if ip, ok := at(first, key); ok {
			all = append(all, p.Spec.Allocations[key].of(ip))
		}
	}
	return all
}

// at is the address at a distance, which for IPv6 may be any number of 128 bits.
func at(first netip.Addr, distance string) (netip.Addr, bool) {
	n, ok := new(big.Int).SetString(distance, 10)
	if !ok || n.Sign() < 0 {
		return netip.Addr{}, false
	}
	octets := first.AsSlice()
	n.Add(n, new(big.Int).SetBytes(octets))
	if n.BitLen() > len(octets)*8 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(n.FillBytes(octets))
}

func (a allocatedFor) of(ip netip.Addr) allocation {
	namespace, name, _ := strings.Cut(a.PodRef, "/")
	return allocation{ip: ip, pod: types.NamespacedName{Namespace: namespace, Name: name}, iface: a.IfName}
}

// reservedAddress is the address in the name of a reservation: the rest of it that is one.
func reservedAddress(name string) (netip.Addr, bool) {
	for rest, more := name, true; more; _, rest, more = strings.Cut(rest, "-") {
		if ip, err := netip.ParseAddr(strings.ReplaceAll(rest, "-", ":")); err == nil {
			return ip, true
		}
	}
	return netip.Addr{}, false
}
