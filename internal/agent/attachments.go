// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"
	"slices"

	"github.com/macpool/macpool/internal/agentapi"
)

// maxListed is how many attachments an answer has at most, which keeps it below agentapi.MaxMessage.
const maxListed = 256

// attachments serves ATTACHMENTS: what is attached on this node after an attachment, in order, with what the kernel says of it. It changes
// nothing, and asks the API nothing: whoever wants to know compares.
func (a *Agent) attachments(after agentapi.Attachment) agentapi.Response {
	entries := a.journal.in(attached)
	slices.SortFunc(entries, func(x, y attempt) int { return x.attachment().Compare(y.attachment()) })
	first, found := slices.BinarySearchFunc(entries, after, func(e attempt, want agentapi.Attachment) int { return e.attachment().Compare(want) })
	if found {
		first++
	}
	entries = entries[first:]
	resp := agentapi.Response{More: len(entries) > maxListed}
	for i := range entries[:min(len(entries), maxListed)] {
		resp.Attached = append(resp.Attached, a.attachedAs(&entries[i]))
	}
	return resp
}

func (a *Agent) attachedAs(entry *attempt) agentapi.Attached {
	out := agentapi.Attached{
		Attachment: entry.attachment(), Pod: entry.Pod, Claim: entry.Claim, ClaimUID: string(entry.ClaimUID), Generation: entry.Generation,
		Instance: string(entry.InstanceUID),
	}
	if lease := entry.Lease; lease != nil {
		out.Lease, out.MAC = lease.Name, lease.MAC
		for _, ip := range lease.IPs {
			out.IPs = append(out.IPs, ip.Address.Addr())
		}
	}
	detail, err := a.inspect(entry.NetNS, entry.Interface)
	switch {
	case err != nil:
		out.Unseen = err.Error()
	case detail.MAC != "":
		out.Kernel = &agentapi.Kernel{MAC: detail.MAC, Up: detail.Up, IPs: slices.SortedFunc(slices.Values(detail.IPs), netip.Addr.Compare)}
	}
	return out
}
