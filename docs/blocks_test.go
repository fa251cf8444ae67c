// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/docs"
)

// file writes a Markdown file, with ' for each backtick.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.md")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(content, "'", "`")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBlocks(t *testing.T) {
	path := file(t, `# A title
text with '''none'''
'''sh
echo one
'''
* an item
  '''yaml fragment
  a:
    b: 1

  c: 2
  '''
''''text
'''sh
echo not this
'''
''''
'''
'''
`)
	got, err := docs.Blocks(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []docs.Block{
		{File: path, Line: 4, Info: []string{"sh"}, Text: "echo one\n"},
		{File: path, Line: 8, Info: []string{"yaml", "fragment"}, Text: "a:\n  b: 1\n\nc: 2\n"},
		{File: path, Line: 14, Info: []string{"text"}, Text: "```sh\necho not this\n```\n"},
		{File: path, Line: 19, Info: []string{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Blocks (-want +got)\n%s", diff)
	}
	scripts, err := docs.Scripts(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[:1], scripts); diff != "" {
		t.Errorf("Scripts (-want +got)\n%s", diff)
	}
	if !got[1].Is("yaml", "fragment") || got[1].Is("yaml") || got[3].Is("yaml") {
		t.Error("Is mistakes one kind of block for another")
	}
}

func TestBlockWithoutEnd(t *testing.T) {
	if got, err := docs.Blocks(file(t, "'''sh\necho\n''''' \n")); err == nil {
		t.Errorf("Blocks: %v", got)
	}
	if _, err := docs.Blocks(filepath.Join(t.TempDir(), "none.md")); err == nil {
		t.Error("Blocks reads a file that is not there")
	}
}

func TestHeredocs(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []docs.Heredoc
		bad  bool
	}{
		"none": {text: "echo a <b\n"},
		"two": {
			text: "kubectl apply -f - <<'EOF'\na: 1\nEOF\necho\ncat >b <<'END' || true\nEOF\n\nb\nEND\n",
			want: []docs.Heredoc{
				{Command: "kubectl apply -f - <<'EOF'", Block: docs.Block{File: "x.md", Line: 11, Text: "a: 1\n"}},
				{Command: "cat >b <<'END' || true", Block: docs.Block{File: "x.md", Line: 15, Text: "EOF\n\nb\n"}},
			},
		},
		"empty":             {text: "cat <<'EOF'\nEOF\n", want: []docs.Heredoc{{Command: "cat <<'EOF'", Block: docs.Block{File: "x.md", Line: 11}}}},
		"without end":       {text: "cat <<'EOF'\na\n", bad: true},
		"with an indention": {text: "cat <<-'EOF'\na\nEOF\n", bad: true},
		"the shell expands": {text: "cat <<EOF\na\nEOF\n", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := docs.Block{File: "x.md", Line: 10, Text: test.text}.Heredocs()
			if (err != nil) != test.bad {
				t.Fatalf("Heredocs: %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Heredocs (-want +got)\n%s", diff)
			}
		})
	}
}
