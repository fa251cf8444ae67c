// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Event is a write of the audit log that the API server has called a success.
type Event struct {
	Verb                string
	Resource            string // macleases, macclaims or macclaims/status
	Namespace, Name     string
	User                string
	Received, Completed time.Time
	// Version is the object's resourceVersion after the write; of a deletion that of its precondition, if it had one.
	Version uint64
	// Before is the version that an update was made on, 0 if it did not say.
	Before uint64
	Lease  *Lease // of a lease that is there after the write
	Claim  *Claim // of a claim that is there after the write
}

// Lease is what counts of a MacLease.
type Lease struct {
	UID, Pool, MAC, Identity, ClaimUID string
	IPs                                []string
	Released, Reusable                 bool
	// At is releasedAt as it is written, to tell one release from another.
	At string
}

// Claim is what counts of a MacClaim.
type Claim struct {
	UID, Lease, HolderUID, HolderNode string
	Generation                        int64
}

type auditEvent struct {
	Stage      string `json:"stage"`
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	ObjectRef  struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	UserAgent      string `json:"userAgent"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	RequestObject            json.RawMessage `json:"requestObject"`
	ResponseObject           json.RawMessage `json:"responseObject"`
	RequestReceivedTimestamp time.Time       `json:"requestReceivedTimestamp"`
	StageTimestamp           time.Time       `json:"stageTimestamp"`
}

type objectMeta struct {
	Metadata struct {
		UID             string `json:"uid"`
		ResourceVersion string `json:"resourceVersion"`
		Name            string `json:"name"`
	} `json:"metadata"`
	Preconditions struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"preconditions"`
}

type leaseObject struct {
	objectMeta

	Spec struct {
		PoolName string   `json:"poolName"`
		MAC      string   `json:"mac"`
		IPs      []string `json:"ips"`
		ClaimRef struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
			UID       string `json:"uid"`
		} `json:"claimRef"`
		ReleasedAt string `json:"releasedAt"`
		ReusableAt string `json:"reusableAt"`
	} `json:"spec"`
}

type claimObject struct {
	objectMeta

	Status struct {
		LeaseName string `json:"leaseName"`
		Holder    *struct {
			PodUID     string `json:"podUID"`
			NodeName   string `json:"nodeName"`
			Generation int64  `json:"generation"`
		} `json:"holder"`
	} `json:"status"`
}

// ParseEvent reads a line of the audit log; nil for what is not a write to a lease or a claim that succeeded.
func ParseEvent(line []byte) (*Event, error) {
	var raw auditEvent
	if err := json.Unmarshal(line, &raw); err != nil {
		return nil, fmt.Errorf("reading an audit event: %w", err)
	}
	if raw.Stage != "ResponseComplete" || raw.ResponseStatus.Code < 200 || raw.ResponseStatus.Code > 299 ||
		strings.Contains(raw.RequestURI, "dryRun=") {
		return nil, nil
	}
	ref := raw.ObjectRef
	e := &Event{
		Verb: raw.Verb, Resource: ref.Resource, Namespace: ref.Namespace, Name: ref.Name,
		User: raw.User.Username + " " + raw.UserAgent, Received: raw.RequestReceivedTimestamp, Completed: raw.StageTimestamp,
	}
	if ref.Subresource != "" {
		e.Resource += "/" + ref.Subresource
	}
	var request objectMeta
	if len(raw.RequestObject) > 0 {
		if err := json.Unmarshal(raw.RequestObject, &request); err != nil {
			return nil, fmt.Errorf("reading the request of an audit event: %w", err)
		}
	}
	if raw.Verb == "delete" || raw.Verb == "deletecollection" {
		e.Version = number(request.Preconditions.ResourceVersion)
		return e, nil
	}
	e.Before = number(request.Metadata.ResourceVersion)
	var meta objectMeta
	var err error
	switch ref.Resource {
	case "macleases":
		var object leaseObject
		err = json.Unmarshal(raw.ResponseObject, &object)
		meta, e.Lease = object.objectMeta, object.lease()
	case "macclaims":
		var object claimObject
		err = json.Unmarshal(raw.ResponseObject, &object)
		meta, e.Claim = object.objectMeta, object.claim()
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the response of an audit event: %w", err)
	}
	e.Version = number(meta.Metadata.ResourceVersion)
	if e.Name == "" {
		e.Name = meta.Metadata.Name
	}
	return e, nil
}

func (o *leaseObject) lease() *Lease {
	return &Lease{
		UID: o.Metadata.UID, Pool: o.Spec.PoolName, MAC: o.Spec.MAC, IPs: o.Spec.IPs,
		Identity: o.Spec.ClaimRef.Namespace + "/" + o.Spec.ClaimRef.Name, ClaimUID: o.Spec.ClaimRef.UID,
		Released: o.Spec.ReleasedAt != "", Reusable: o.Spec.ReusableAt != "", At: o.Spec.ReleasedAt,
	}
}

func (o *claimObject) claim() *Claim {
	c := &Claim{UID: o.Metadata.UID, Lease: o.Status.LeaseName}
	if h := o.Status.Holder; h != nil {
		c.HolderUID, c.HolderNode, c.Generation = h.PodUID, h.NodeName, h.Generation
	}
	return c
}

func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}
