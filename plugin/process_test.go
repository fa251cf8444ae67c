// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	cnitypes "github.com/containernetworking/cni/pkg/types"
	"github.com/onsi/gomega"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
)

// deadline is generous: the machine may be busy with other things.
const deadline = 30 * time.Second

// command is the real binary, as a runtime would start it.
func command(t *testing.T, a *agentDouble, verb, netns string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), pluginBinary)
	cmd.Env = append(os.Environ(),
		"CNI_COMMAND="+verb, "CNI_CONTAINERID=c1", "CNI_NETNS="+netns, "CNI_IFNAME=net1", "CNI_PATH=/opt/cni/bin", "CNI_ARGS="+podArgs)
	cmd.Env = append(cmd.Env, a.env()...)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// printed is the error that the plugin printed, if that is all that it printed.
func printed(t *testing.T, stdout []byte) *cnitypes.Error {
	t.Helper()
	e := &cnitypes.Error{}
	d := json.NewDecoder(bytes.NewReader(stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(e); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("something follows the error: %s", stdout)
	}
	return e
}

// Whatever comes in, the plugin exits with an error of the catalogue, whole and alone (R-C17), and DEL's is one that no
// runtime takes for success (R-C7).
func TestBadInput(t *testing.T) {
	large := ipamConf("1.0.0", `,"x":"`+strings.Repeat("x", 10<<20)+`"`)
	tests := map[string]struct {
		stdin string
		env   []string
		want  *problem.Kind
	}{
		"nothing":             {"", nil, problem.BadConfig},
		"garbage":             {"\x00\x01garbage", nil, problem.BadConfig},
		"half":                {ipamConf("1.0.0", "")[:40], nil, problem.BadConfig},
		"no object":           {`["not found"]`, nil, problem.BadConfig},
		"no UTF-8":            {ipamConf("1.0.0", `,"x":"`+"\xff\xfe"+`"`), nil, problem.BadConfig},
		"10 MB":               {large, nil, problem.InputTooLarge},
		"10 MB of nothing":    {strings.Repeat(" ", 10<<20), nil, problem.InputTooLarge},
		"no name":             {`{"cniVersion":"1.0.0","type":"macpool"}`, nil, problem.BadConfig},
		"a telling name":      {`{"cniVersion":"1.0.0","name":"no such file or directory: not found","type":"macpool"}`, nil, problem.BadConfig},
		"version 0.2.0":       {ipamConf("0.2.0", ""), nil, problem.UnsupportedVersion},
		"version 0.3.0":       {ipamConf("0.3.0", ""), nil, problem.UnsupportedVersion},
		"no version":          {`{"name":"iot-vlan","type":"macpool"}`, nil, problem.UnsupportedVersion},
		"version 9":           {ipamConf("9.0.0", ""), nil, problem.UnsupportedVersion},
		"version not found":   {ipamConf("not found", ""), nil, nil},
		"no container":        {ipamConf("1.0.0", ""), []string{"CNI_CONTAINERID="}, problem.BadEnvironment},
		"a telling container": {ipamConf("1.0.0", ""), []string{"CNI_CONTAINERID=not found"}, problem.BadEnvironment},
		"no interface":        {ipamConf("1.0.0", ""), []string{"CNI_IFNAME="}, problem.BadEnvironment},
		"an interface's path": {ipamConf("1.0.0", ""), []string{"CNI_IFNAME=../x"}, problem.BadEnvironment},
		"an unknown verb":     {ipamConf("1.0.0", ""), []string{"CNI_COMMAND=FIND"}, problem.BadEnvironment},
	}
	a := newAgent(t, leaseOf(ip4()))
	for _, verb := range []string{"ADD", "DEL", "CHECK"} {
		for name, tt := range tests {
			t.Run(verb+" "+name, func(t *testing.T) {
				cmd := command(t, a, verb, "/run/netns/none", tt.env...)
				cmd.Stdin = strings.NewReader(tt.stdin)
				stdout, err := cmd.Output()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != 1 {
					t.Fatalf("got %v, printed %s", err, stdout)
				}
				e := printed(t, stdout)
				if tt.want != nil && (e.Code != tt.want.CNI || !strings.HasPrefix(e.Msg, tt.want.Code+": ")) {
					t.Errorf("got %d %s, want %s", e.Code, e.Msg, tt.want.Reason)
				}
				if tt.want == nil && !strings.HasPrefix(e.Msg, "MP") {
					t.Errorf("got %s", e.Msg)
				}
				if verb == "DEL" && swallowed.MatchString(string(stdout)) {
					t.Errorf("%s would be swallowed", stdout)
				}
			})
		}
	}
	if got := len(a.asked(agentapi.Add)) + len(a.asked(agentapi.Del)); got != 0 {
		t.Errorf("the agent was asked %d times", got)
	}
}

// What fits into a pipe is put there at once, what does not while it is read.
func TestLongInput(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	a := newAgent(t, leaseOf(ip4()))
	bare := len(ipamConf("1.0.0", `,"x":""`))
	for _, size := range []int{anyPipe - 1, anyPipe, anyPipe + 1, 1 << 16, 1<<16 + 1, agentapi.MaxMessage} {
		cmd := command(t, a, "ADD", sandbox.Path())
		cmd.Stdin = strings.NewReader(ipamConf("1.0.0", `,"x":"`+strings.Repeat("x", size-bare)+`"`))
		stdout, err := cmd.Output()
		if err != nil || !strings.Contains(string(stdout), "192.168.50.8/24") {
			t.Errorf("%d octets: %v, printed %s", size, err, stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	cmd := command(t, newAgent(t, nil), "VERSION", "")
	stdout, err := cmd.Output()
	var got struct {
		SupportedVersions []string `json:"supportedVersions"`
	}
	if err := errors.Join(err, json.Unmarshal(stdout, &got)); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got.SupportedVersions, " ") != strings.Join(versions, " ") {
		t.Errorf("got %v, want %v", got.SupportedVersions, versions)
	}
}

func TestVerbsOfLaterVersions(t *testing.T) {
	for verb, version := range map[string]string{"CHECK": "0.3.1", "GC": "1.0.0", "STATUS": "1.0.0"} {
		cmd := command(t, newAgent(t, nil), verb, "/run/netns/none")
		cmd.Stdin = strings.NewReader(ipamConf(version, ""))
		stdout, err := cmd.Output()
		if e := printed(t, stdout); err == nil || e.Code != problem.CNIVersion || !strings.HasPrefix(e.Msg, problem.UnsupportedVersion.Code) {
			t.Errorf("%s: got %v, %v", verb, err, e)
		}
	}
}

// DEL of the real binary without agent and spool: the words reach the runtime as they are.
func TestDelErrorOfTheProcess(t *testing.T) {
	a := newAgent(t, nil)
	a.stop()
	cmd := command(t, a, "DEL", "", agentapi.StateDirEnv+"=/proc/none")
	cmd.Stdin = strings.NewReader(ipamConf("1.0.0", ""))
	stdout, err := cmd.Output()
	if err == nil {
		t.Fatal("DEL was lost")
	}
	if e := printed(t, stdout); e.Code != problem.CNITryAgain || !strings.HasPrefix(e.Msg, problem.DelNotKept.Code) || swallowed.Match(stdout) {
		t.Errorf("got %s", stdout)
	}
}

// A standard output that nobody reads: no exit 0, and no lease that stays.
func TestClosedStdout(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		sandbox := netnstest.New(t)
		newLink(t, sandbox, "net1")
		a := newAgent(t, leaseOf(ip4()))
		cmd := command(t, a, "ADD", sandbox.Path())
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `exec "$0" >&-`, pluginBinary}
		cmd.Stdin = strings.NewReader(ipamConf("1.0.0", ""))
		if err := cmd.Run(); err == nil {
			t.Error("exit 0")
		}
		if adds, dels := len(a.asked(agentapi.Add)), len(a.asked(agentapi.Del)); adds != dels {
			t.Errorf("asked for %d leases, gave %d back", adds, dels)
		}
	})
	t.Run("broken", func(t *testing.T) {
		sandbox := netnstest.New(t)
		newLink(t, sandbox, "net1")
		a := newAgent(t, leaseOf(ip4()))
		r, w := pipe(t)
		_ = r.Close()
		cmd := command(t, a, "ADD", sandbox.Path())
		cmd.Stdout = w
		cmd.Stdin = strings.NewReader(ipamConf("1.0.0", ""))
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("got %v", err)
		}
		// An ADD that was asked for either got its answer and is given back, or was hung up on.
		if adds, ends := len(a.asked(agentapi.Add)), len(a.asked(agentapi.Del)); adds != ends && a.hangUps() != adds-ends {
			t.Errorf("asked for %d leases, gave %d back", adds, ends)
		}
	})
}

func pipe(t *testing.T) (*os.File, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// A runtime that gives up kills its child, not its child's child. That one hangs up on the agent (R-C9).
func TestAbandonedAdd(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	before := macOf(t, sandbox, "net1")
	tests := map[string]func(t *testing.T, parent *exec.Cmd, reader *os.File){
		"the parent is killed":  func(_ *testing.T, parent *exec.Cmd, _ *os.File) { _ = parent.Process.Kill() },
		"nobody reads the pipe": func(_ *testing.T, _ *exec.Cmd, reader *os.File) { _ = reader.Close() },
		"both":                  func(_ *testing.T, parent *exec.Cmd, reader *os.File) { _, _ = parent.Process.Kill(), reader.Close() },
	}
	for name, abandon := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, nil)
			a.answers(func(agentapi.Request) *agentapi.Response { return nil })
			r, w := pipe(t)
			// A shell is the main plugin, which waits for its IPAM.
			parent := command(t, a, "ADD", sandbox.Path())
			parent.Path, parent.Args = "/bin/sh", []string{"sh", "-c", `"$0"; true`, pluginBinary}
			parent.Stdout = w
			stdin, feed := pipe(t)
			if _, err := feed.WriteString(ipamConf("1.0.0", "")); err != nil {
				t.Fatal(err)
			}
			_ = feed.Close()
			parent.Stdin = stdin
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = parent.Process.Kill(); _ = parent.Wait() })
			_ = w.Close()
			g := gomega.NewWithT(t)
			g.Eventually(func() int { return len(a.asked(agentapi.Add)) }, deadline, 10*time.Millisecond).Should(gomega.Equal(1))
			abandon(t, parent, r)
			// AddTimeout would end it too, but later.
			g.Eventually(a.hangUps, agentapi.AddTimeout/2, 10*time.Millisecond).Should(gomega.Equal(1))
			if mac := macOf(t, sandbox, "net1"); mac != before {
				t.Errorf("the MAC became %s", mac)
			}
		})
	}
}

// The runtime's result is one JSON document, also where skel has something to say after the verb.
func TestOwnNamespace(t *testing.T) {
	a := newAgent(t, leaseOf(ip4()))
	for verb, want := range map[string]int{"ADD": 1, "DEL": 0} {
		cmd := command(t, a, verb, "/proc/self/ns/net")
		cmd.Stdin = strings.NewReader(ipamConf("1.0.0", ""))
		stdout, _ := cmd.Output()
		if cmd.ProcessState.ExitCode() != want {
			t.Errorf("%s: got %s", verb, stdout)
		}
		if want != 0 && !strings.HasPrefix(printed(t, stdout).Msg, problem.LinkMissing.Code) {
			t.Errorf("%s: got %s", verb, stdout)
		}
		if want == 0 && len(stdout) != 0 {
			t.Errorf("%s: printed %s", verb, stdout)
		}
	}
}
