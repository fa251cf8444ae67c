// SPDX-License-Identifier: Apache-2.0

//go:build race

package ui

func init() { timed = false }
