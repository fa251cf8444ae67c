// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
)

// attemptKey names an attempt: one interface of one container.
type attemptKey struct{ ContainerID, Interface string }

// attemptState is how far an attempt has come.
type attemptState string

const (
	// attached: ADD was answered, DEL has not come.
	attached attemptState = "attached"
	// detached: DEL has come, and the holder of this generation is still to be cleared.
	detached attemptState = "detached"
	// deleted: nothing is left to do. The record is the tombstone that refuses a late ADD.
	deleted attemptState = "deleted"
	// withdrawn: it never was. The record takes the attempt out of the journal; to an earlier release it is a tombstone.
	withdrawn attemptState = "withdrawn"
)

// attempt is all that the journal knows about an attempt. Each record in the file is a whole attempt and the last one of a
// key counts, so a lost record costs what it said and nothing else.
type attempt struct {
	ContainerID string       `json:"container"`
	Interface   string       `json:"interface"`
	State       attemptState `json:"state"`
	// At is when the attempt came to this state.
	At time.Time `json:"at"`

	NetNS   string `json:"netns,omitempty"`
	Network string `json:"network,omitempty"`
	Pool    string `json:"pool,omitempty"`
	// Link is the node's link by which the network reaches the VLAN.
	Link string `json:"link,omitempty"`

	Claim agentapi.ClaimRef `json:"claim,omitzero"`
	// ClaimUID tells the claim from one that is made again under its name; empty in what older agents wrote.
	ClaimUID types.UID    `json:"claimUID,omitempty"`
	Pod      agentapi.Pod `json:"pod,omitzero"`
	// Workload is the claim's, without which it could not be made again; nil of a claim that a person made.
	Workload *v1alpha1.Workload `json:"workload,omitempty"`
	// InstanceUID is that of the holder: a VM that migrates has two pods with one address.
	InstanceUID types.UID `json:"instance,omitempty"`
	// Revision is the claim's resourceVersion, which the API has reached therefore, and Timeline the one of then: on a later
	// timeline revisions are others.
	Revision string `json:"revision,omitempty"`
	Timeline int64  `json:"timeline,omitempty"`
	// Generation is the holder's, as the claim had it.
	Generation int64 `json:"generation,omitempty"`
	// Number counts the attempts of a pod for a claim: the runtime makes a new container for each.
	Number int `json:"number,omitempty"`
	// Cleared: the holder of this generation, if the claim still had it, was cleared on this attempt's behalf.
	Cleared bool `json:"cleared,omitempty"`
	// For is the pod that this one has made way for.
	For string `json:"for,omitempty"`
	// Lease is what was answered, while attached.
	Lease *agentapi.Lease `json:"lease,omitempty"`

	// tried: a clear of the generation may have reached the API. Not written: a record that was read from the file may have
	// been tried by an earlier process.
	tried bool
}

func (a *attempt) key() attemptKey { return attemptKey{a.ContainerID, a.Interface} }

func (a *attempt) attachment() agentapi.Attachment {
	return agentapi.Attachment{ContainerID: a.ContainerID, Interface: a.Interface}
}

// ofHolder tells whether two attempts are of the same claim and pod, and so of one holder.
func (a *attempt) ofHolder(claim agentapi.ClaimRef, podUID string) bool {
	return a.Claim == claim && a.Pod.UID == podUID
}

// castagnoli has hardware support everywhere that Kubernetes runs.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumLen is the length of the checksum before the JSON: eight hexadecimal digits and a space.
const checksumLen = 9

var errBadRecord = errors.New("the record is damaged")

// encode is the record as a line of the journal.
func (a *attempt) encode() ([]byte, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encoding a journal record: %w", err)
	}
	line := make([]byte, 0, checksumLen+len(text)+1)
	line = fmt.Appendf(line, "%08x ", crc32.Checksum(text, castagnoli))
	line = append(line, text...)
	return append(line, '\n'), nil
}

// decodeAttempt reads a line without its newline.
func decodeAttempt(line []byte) (*attempt, error) {
	if len(line) <= checksumLen {
		return nil, errBadRecord
	}
	text := line[checksumLen:]
	if !bytes.Equal(line[:checksumLen], fmt.Appendf(nil, "%08x ", crc32.Checksum(text, castagnoli))) {
		return nil, errBadRecord
	}
	a := &attempt{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("%w: %w", errBadRecord, err)
	}
	return a, nil
}
