// SPDX-License-Identifier: Apache-2.0

package view

import (
	"encoding/binary"
	"strings"
)

// marks are the hashes of the values under which an object is indexed, as a packed object has them: for each index, in the order of their
// numbers, how many, and then each. By them the object is indexed, and nearly all that is not looked for is passed over, without being unpacked.
type marks string

// hashes are those of one index, each of hashSize octets.
type hashes string

const hashSize = 4

// with is the marks and those of the next index.
func (m marks) with(of hashes) marks {
	return m + marks(binary.AppendUvarint(nil, uint64(len(of)/hashSize))) + marks(of)
}

// of are those of the index with this number. An index that was added after the object was packed is not known.
func (m marks) of(number int) (of hashes, known bool) {
	r := reader{octets: string(m)}
	for i := 0; r.at < len(m); i++ {
		size := int(r.number()) * hashSize //nolint:gosec // G115: a length
		if i == number {
			return hashes(m[r.at : r.at+size]), true
		}
		r.at += size
	}
	return "", false
}

// hashesOf are those of some values.
func hashesOf(values []string) hashes {
	var of []byte
	for i, value := range values {
		if i > 0 && withoutNamespace(value) == withoutNamespace(values[i-1]) {
			continue
		}
		of = binary.BigEndian.AppendUint32(of, hashOf(value))
	}
	return hashes(of)
}

func (h hashes) at(i int) uint32 {
	b := h[i*hashSize : (i+1)*hashSize]
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// has tells whether one of the values may be that with this hash.
func (h hashes) has(hash uint32) bool {
	for i := range len(h) / hashSize {
		if h.at(i) == hash {
			return true
		}
	}
	return false
}

// buckets are where the store has the object. One that is there twice is no matter for the store's sets.
func (h hashes) buckets() []string {
	if h == "" {
		return nil
	}
	all := make([]string, len(h)/hashSize)
	for i := range all {
		all[i] = bucketOf(h.at(i))
	}
	return all
}

// withoutNamespace is a value without what is before its first slash: a client's index has each value with its namespace and again for all of
// them.
func withoutNamespace(value string) string {
	if _, rest, ok := strings.Cut(value, "/"); ok {
		return rest
	}
	return value
}

// hashOf is FNV-1a, written out so that nothing is allocated, of a value without its namespace.
func hashOf(value string) uint32 {
	const offset, prime = 2166136261, 16777619
	h := uint32(offset)
	for _, b := range []byte(withoutNamespace(value)) {
		h = (h ^ uint32(b)) * prime
	}
	return h
}
