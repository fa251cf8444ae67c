// SPDX-License-Identifier: Apache-2.0

//go:build race

package model

// The race detector finds nothing in a program of one goroutine, and makes it ten times slower.
const raceDetector = true
