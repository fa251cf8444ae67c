// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/macpool/macpool/docs"
	cliroot "github.com/macpool/macpool/internal/cli/root"
)

// TestCommands runs every block of shell commands of the documentation, and README's: bash reads it, and each command that is not one of its own or a
// filter of text is handed to check, which tries it on the API server or says by which rule it is right. A block that cannot be tried so
// is marked as untried, with the reason, and is not run.
func TestCommands(t *testing.T) {
	tried := map[string]bool{}
	for _, page := range pages(t) {
		blocks, err := docs.Blocks(page)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, b := range blocks {
			if !b.Is("sh") {
				continue
			}
			for _, call := range calls(t, b) {
				line := strings.Join(call, " ")
				if tried[line] {
					continue
				}
				tried[line] = true
				if err := check(t, call); err != nil {
					t.Errorf("%s: %s: %v", b, line, err)
				}
			}
		}
	}
	if len(tried) < 30 {
		t.Errorf("only %d commands were found", len(tried))
	}
}

// filters are the programs beside bash that a block may use on what others print.
var filters = []string{"awk", "cat", "cut", "grep", "head", "sed", "sort", "tail", "tee", "true", "wc"}

// absolute matches an output that would leave the directory in which a block runs.
var absolute = regexp.MustCompile(`>\s*["']?[/~$]`)

// calls runs a block with nothing to be found but filters, and returns the commands that it wanted to run.
func calls(t *testing.T, b docs.Block) [][]string {
	t.Helper()
	if absolute.MatchString(b.Text) {
		t.Errorf("%s: it writes to a path of the machine: mark it as untried, with the reason", b)
		return nil
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "path")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range filters {
		program, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(program, filepath.Join(path, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	script := `command_not_found_handle() { printf '%s\x1f' "$@" >>calls; printf '\x1e' >>calls; }` + "\n" + b.Text
	bash := exec.CommandContext(t.Context(), "bash", "-c", script)
	bash.Dir, bash.Env = dir, []string{"PATH=" + path}
	out, err := bash.CombinedOutput()
	if err != nil && len(out) > 0 {
		t.Errorf("%s: %v: %s", b, err, out)
	}
	if bytes.Contains(out, []byte("No such file or directory")) {
		t.Errorf("%s: it runs a program by its path, which is not tried: %s", b, out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all [][]string
	for call := range strings.SplitSeq(strings.TrimSuffix(string(raw), "\x1e"), "\x1e") {
		if call != "" {
			all = append(all, strings.Split(strings.TrimSuffix(call, "\x1f"), "\x1f"))
		}
	}
	return all
}

// check tells what is wrong with a command.
func check(t *testing.T, call []string) error {
	t.Helper()
	switch name, args := call[0], call[1:]; name {
	case "make":
		return checkTarget(args)
	case "helm":
		if len(args) == 0 || !slices.Contains([]string{"install", "upgrade", "uninstall", "show", "template"}, args[0]) {
			return fmt.Errorf("helm has no such command")
		}
		return nil
	case "kubectl-macpool":
		return checkOurs(args)
	case "kubectl":
		if len(args) > 0 && args[0] == "macpool" {
			return checkOurs(args[1:])
		}
		return checkKubectl(t, args)
	default:
		return fmt.Errorf("no test knows %s: mark the block as sh %s, with the reason", name, docs.Untried)
	}
}

// checkTarget has the Makefile have a target.
func checkTarget(args []string) error {
	text, err := os.ReadFile("../Makefile")
	if err != nil {
		return err
	}
	for _, arg := range args {
		if name, _, isVariable := strings.Cut(arg, "="); !isVariable && !bytes.Contains(text, []byte("\n"+name+":")) {
			return fmt.Errorf("the Makefile has no target %s", name)
		}
	}
	return nil
}

// checkOurs has kubectl macpool have a command, and the command its flags.
func checkOurs(args []string) error {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	c, rest, err := cliroot.New(streams).Find(args)
	if err != nil {
		return err
	}
	if !c.HasParent() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("kubectl macpool has no command %s", rest[0])
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	return c.ValidateArgs(c.Flags().Args())
}

// dry are kubectl's commands that write, and can be told not to keep it.
var dry = []string{"annotate", "apply", "cordon", "create", "delete", "drain", "label", "patch", "scale", "set", "taint", "uncordon"}

// absent is what kubectl says of an object that is not there, which the objects of examples are not.
var absent = regexp.MustCompile(`NotFound|not found|no matching resources found`)

// asset matches a file of a release.
var asset = regexp.MustCompile(`^https://github\.com/macpool/macpool/releases/download/v[0-9.]+/(\S+)$`)

// checkKubectl runs a command of kubectl: what reads for real, what writes as a dry run. That the object is not there is no fault.
func checkKubectl(t *testing.T, args []string) error {
	t.Helper()
	if i := slices.IndexFunc(args, func(a string) bool { return a == "-f" || a == "--filename" }); i >= 0 && i+1 < len(args) {
		if m := asset.FindStringSubmatch(args[i+1]); m != nil {
			return checkAsset(m[1])
		}
		if strings.Contains(args[i+1], "://") {
			return fmt.Errorf("it applies what is not ours: mark the block as untried, with the reason")
		}
		args = slices.Clone(args)
		args[i+1] = filepath.Join(".", "testdata", "pool.yaml") // what it is given is tried by TestBlocksHold
	}
	if slices.Contains(args, "-k") {
		return nil // kustomizations are built by TestBlocksHold
	}
	verb := ""
	for i := 0; i < len(args) && verb == ""; i++ {
		switch {
		case args[i] == "-n" || args[i] == "--namespace" || args[i] == "--context":
			i++
		case !strings.HasPrefix(args[i], "-"):
			verb = args[i]
		}
	}
	more := []string{"--kubeconfig", kubeconfig}
	switch {
	case slices.Contains(dry, verb) && !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--dry-run") }):
		more = append(more, "--dry-run=server")
	case verb == "wait", verb == "rollout" && slices.Contains(args, "status"):
		more = append(more, "--timeout=1s")
	}
	end := len(args)
	if i := slices.Index(args, "--"); i >= 0 {
		end = i
	}
	args = slices.Concat(args[:end], more, args[end:])
	out, err := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...).CombinedOutput()
	if err != nil && !absent.Match(out) {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// checkAsset has a release consist of a file.
func checkAsset(name string) error {
	text, err := os.ReadFile("../hack/release.sh")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join("../config/schemas", name)); err == nil || bytes.Contains(text, []byte(`"$out/`+name+`"`)) {
		return nil
	}
	return fmt.Errorf("a release has no file %s", name)
}

// TestUntried has every mark carry a reason.
func TestUntried(t *testing.T) {
	for _, page := range pages(t) {
		blocks, err := docs.Blocks(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			if _, ok := b.Reason(); slices.Contains(b.Info, docs.Untried) && !ok {
				t.Errorf("%s says that it is untried, and not why", b)
			}
		}
	}
}
