// SPDX-License-Identifier: Apache-2.0

package cli

import "fmt"

// Exit ends the program with a status, when what is to be said has been said.
type Exit int

// Error is for logs; nobody is shown it.
func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Found is the status of a command that was to look for faults and found some. Errors of its own have 1, as kubectl's.
const Found Exit = 3
