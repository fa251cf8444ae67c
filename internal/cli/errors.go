// SPDX-License-Identifier: Apache-2.0

package cli

import "fmt"

// ExitError ends the program with a status, when what is to be said has been said.
type ExitError int

// Error is for logs; nobody is shown it.
func (e ExitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// ErrFound is the status of a command that was to look for faults and found some. Errors of its own have 1, as kubectl's.
const ErrFound ExitError = 3
