// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// madeFor is for how long the cache may lag behind what this process has made. After that it is asked of the API server whether it is there.
const madeFor = 2 * time.Second

// madeClaims are the claims that this process has just made: the event of a pod that is scheduled comes before the cache shows the claim that was made for
// it, and would have it made once more, in vain. They are copies of what the API server has answered, without a lease: nothing is done with them but
// to wait for the event of the claim. The zero value is ready.
type madeClaims struct {
	mu   sync.Mutex
	made map[types.NamespacedName]madeClaim
}

type madeClaim struct {
	claim *v1alpha1.MacClaim
	at    time.Time
}

// note keeps a claim, and drops those that are old.
func (m *madeClaims) note(claim *v1alpha1.MacClaim, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, one := range m.made {
		if now.Sub(one.at) > madeFor {
			delete(m.made, key)
		}
	}
	if m.made == nil {
		m.made = map[types.NamespacedName]madeClaim{}
	}
	m.made[client.ObjectKeyFromObject(claim)] = madeClaim{claim: claim.DeepCopy(), at: now}
}

// find is the claim, if it was made a moment ago; nil if not.
func (m *madeClaims) find(key types.NamespacedName, now time.Time) *v1alpha1.MacClaim {
	m.mu.Lock()
	defer m.mu.Unlock()
	one, ok := m.made[key]
	if !ok || now.Sub(one.at) > madeFor {
		return nil
	}
	return one.claim.DeepCopy()
}
