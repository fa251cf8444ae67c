// SPDX-License-Identifier: Apache-2.0

// Package docs is the documentation. It reads the code blocks of Markdown files, for the tests that hold the documentation to
// what it says: everything that is to be applied is, and the quick start is followed.
package docs

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Block is a fenced code block.
type Block struct {
	// File is the file as it was named, Line the line of the block's first line in it.
	File string
	Line int
	// Info are the words behind the opening fence: the language, then what kind of text in it.
	Info []string
	// Text is what the block holds, without the indentation of its fence.
	Text string
}

// String says where the block is.
func (b Block) String() string { return fmt.Sprintf("%s:%d", b.File, b.Line) }

// Is tells whether the block is of a language, and of the kinds given, in order; of no kind if none is given.
func (b Block) Is(language string, kinds ...string) bool {
	return slices.Equal(b.Info, append([]string{language}, kinds...))
}

// Untried is the word behind the language of a block of commands that no test can run; the words behind it say why.
const Untried = "untried"

// Reason is why no test runs the block, of one that says so.
func (b Block) Reason() (string, bool) {
	if len(b.Info) > 2 && b.Info[0] == "sh" && b.Info[1] == Untried {
		return strings.Join(b.Info[2:], " "), true
	}
	return "", false
}

// Blocks are the fenced code blocks of a Markdown file, in order.
func Blocks(file string) ([]Block, error) {
	content, err := os.ReadFile(file) //nolint:gosec // G304: the caller names it
	if err != nil {
		return nil, fmt.Errorf("reading the code blocks of a file: %w", err)
	}
	return parse(file, string(content))
}

// Scripts are the shell blocks of a Markdown file, in order: what a reader types who follows it.
func Scripts(file string) ([]Block, error) {
	blocks, err := Blocks(file)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(blocks, func(b Block) bool { return !b.Is("sh") }), nil
}

// fence are the backticks around a block. Three are enough for what stands in our files; a block of them has more.
const fence = "```"

func parse(file, content string) ([]Block, error) {
	var (
		blocks []Block
		open   string // the fence of the block at hand, with its indentation; empty outside of blocks
	)
	number := 0
	for line := range strings.Lines(content) {
		number++
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimLeft(line, " ")
		indent, backticks := line[:len(line)-len(trimmed)], trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
		switch {
		case open == "" && strings.HasPrefix(backticks, fence):
			open = indent + backticks
			info := strings.Fields(strings.TrimLeft(trimmed, "`"))
			blocks = append(blocks, Block{File: file, Line: number + 1, Info: info})
		case open == "":
		case trimmed == backticks && len(backticks) >= len(strings.TrimLeft(open, " ")):
			open = ""
		default:
			spaces := len(open) - len(strings.TrimLeft(open, " "))
			blocks[len(blocks)-1].Text += line[min(spaces, len(indent)):] + "\n"
		}
	}
	if open != "" {
		return nil, fmt.Errorf("%s: the block is never closed", blocks[len(blocks)-1])
	}
	return blocks, nil
}
