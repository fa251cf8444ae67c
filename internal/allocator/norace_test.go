// SPDX-License-Identifier: Apache-2.0

//go:build !race

package allocator_test

// modelSteps is how far the model walks. make test does so a second time for this, without the race detector.
const modelSteps = 1_000_000
