// SPDX-License-Identifier: Apache-2.0

package allocator

const (
	fnvOffset uint64 = 0xcbf29ce484222325
	fnvPrime  uint64 = 0x100000001b3
)

// firstChoice is where an identity's search for an address begins: at the dynamic slot with this number, of n; from there the search
// goes up and around. It is a function of the identity alone, so that writers that race for one claim propose the same address, and a
// cluster that is built again gives its workloads the addresses that they had. It must never change: TestOrderIsForEver.
//
// It is h mod n, where h is FNV-1a of 64 bits over the bytes
//
//	segment, 0x00, namespace, 0x00, name
//
// followed by the last step of MurmurHash3 (fmix64), without which identities that differ in their last character alone, as the
// ordinals of a StatefulSet do, would get neighbouring values. None of the three strings can contain a zero byte.
func firstChoice(segment string, id Identity, n uint64) uint64 {
	h := fnvOffset
	h = fnv(h, segment) * fnvPrime
	h = fnv(h, id.Namespace) * fnvPrime
	h = fnv(h, id.Name)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h % n
}

// fnv goes on with FNV-1a. A zero byte is the multiplication alone.
func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}
