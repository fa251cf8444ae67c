// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

// Formats of output beside the one for people, which has no name.
const (
	JSON = "json"
	YAML = "yaml"
	Wide = "wide"
	Name = "name"
)

// Answer is what a command has to say. As JSON and YAML it is written as encoding/json writes it.
type Answer interface {
	// Print writes it for people.
	Print(w io.Writer, wide bool) error
	// Names are the objects that it is about, each as kind.group/name, as other commands of kubectl take them.
	Names() []string
}

// Output is the flag -o.
type Output struct{ format string }

// AddTo adds the flag to a command, with its completion.
func (o *Output) AddTo(c *cobra.Command) {
	c.Flags().StringVarP(&o.format, "output", "o", "", "Output format. One of: ("+strings.Join(formats(), ", ")+").")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func formats() []string { return []string{JSON, YAML, Wide, Name} }

// Check tells whether the format is one. A command calls it first, so that nobody waits to hear of a typing error.
func (o *Output) Check() error {
	if o.format != "" && !slices.Contains(formats(), o.format) {
		return fmt.Errorf("there is no output format %q: write one of %s", o.format, strings.Join(formats(), ", "))
	}
	return nil
}

// ForPeople tells whether a person is to read it, not a program.
func (o *Output) ForPeople() bool { return o.format == "" || o.format == Wide }

// Write writes an answer in the format. Programs and files get what objects say as it is, people so that they can read it.
func (o *Output) Write(w io.Writer, a Answer) error {
	if o.ForPeople() {
		return a.Print(Legible(w), o.format == Wide)
	}
	return o.encode(ForTerminal(w), a)
}

func (o *Output) encode(w io.Writer, a Answer) error {
	switch o.format {
	case JSON:
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "    ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(a)
	case YAML:
		text, err := yaml.Marshal(a)
		if err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		_, err = w.Write(text)
		return err
	}
	for _, name := range a.Names() {
		if _, err := fmt.Fprintln(w, name); err != nil {
			return err
		}
	}
	return nil
}

// Table writes rows beneath a line of headings, in columns as kubectl's.
func Table(w io.Writer, headings []string, rows [][]string) error {
	tabs := printers.GetNewTabWriter(w)
	for _, row := range append([][]string{headings}, rows...) {
		cells := make([]string, len(row))
		for i := range row {
			cells[i] = Line(row[i])
		}
		if _, err := fmt.Fprintln(tabs, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return tabs.Flush()
}
