// SPDX-License-Identifier: Apache-2.0

//go:build race

package allocator_test

// modelSteps is how far the model walks; the race detector makes each step several times as slow.
const modelSteps = 200_000
