// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"regexp"
	"strings"
)

// Heredoc is what a shell block gives to a command as its input.
type Heredoc struct {
	// Command is the line that the text is for.
	Command string
	// Block says where the text is, and holds it.
	Block
}

// heredocOf matches a line that is followed by its input. The end mark is quoted: unquoted, the shell would change the text.
var heredocOf = regexp.MustCompile(`<<(-?)('?)([A-Z]+)('?)`)

// Heredocs are the texts that the commands of a shell block are given.
func (b Block) Heredocs() ([]Heredoc, error) {
	var (
		found []Heredoc
		end   string
	)
	number := b.Line - 1
	for line := range strings.Lines(b.Text) {
		number++
		if end != "" {
			if strings.TrimSuffix(line, "\n") == end {
				end = ""
			} else {
				found[len(found)-1].Text += line
			}
			continue
		}
		m := heredocOf.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if m[1] != "" || m[2] == "" || m[4] == "" {
			return nil, fmt.Errorf("%s:%d: write the input as <<'%s', which the shell leaves as it is", b.File, number, m[3])
		}
		end = m[3]
		found = append(found, Heredoc{Command: strings.TrimSpace(line), Block: Block{File: b.File, Line: number + 1}})
	}
	if end != "" {
		return nil, fmt.Errorf("%s: the input never ends with %s", found[len(found)-1], end)
	}
	return found, nil
}
