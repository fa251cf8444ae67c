// SPDX-License-Identifier: Apache-2.0

package agentapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macpool/macpool/internal/agentapi"
)

// FuzzMessage : what comes over the socket, in either direction, is refused or is a message that says the same once it has been written and
// read again. Written it is one line, whatever is in it, and no more is read than one message may have (T14).
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		`{"command":"ADD","containerID":"c1","netns":"/run/netns/c1","interface":"net1","pod":{"namespace":"home","name":"db-0","uid":"u"},"wish":{"ips":["192.168.50.8/24"],"mac":"x"}}`,
		`{"command":"GC","valid":[{"containerID":"c1","interface":"net1"},{}],"trace":{"parent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}`,
		`{"lease":{"mac":"m","ips":[{"address":"192.168.50.8/24","gateway":"fe80::1%a\nb"}],"routes":[{"dst":"::/0"}],"dns":{"search":["\u001b[2J"]}}}`,
		`{"attached":[{"containerID":"c"}],"more":true}`, `{"command":1}`, `{"COMMAND":"ADD"}`, `{}{}`, ` null `, `[`, "{\"pool\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkMessage[agentapi.Request](t, data)
		checkMessage[agentapi.Response](t, data)
	})
}

func checkMessage[T any](t *testing.T, data []byte) {
	t.Helper()
	from := &counted{r: bytes.NewReader(data)}
	var v, back T
	if err := agentapi.Read(from, &v); err != nil {
		return
	}
	if from.n > agentapi.MaxMessage+1 {
		t.Errorf("%d bytes were read", from.n)
	}
	var out bytes.Buffer
	if err := agentapi.Write(&out, v); err != nil {
		t.Fatalf("%+v cannot be written: %v", v, err)
	}
	text := out.Bytes()
	if !utf8.Valid(text) || !json.Valid(text) || bytes.Count(text, []byte{'\n'}) != 1 || text[len(text)-1] != '\n' || bytes.ContainsAny(text, "\x1b\x00") {
		t.Errorf("%q is not one line of JSON", text)
	}
	if err := agentapi.Read(bytes.NewReader(text), &back); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if diff := cmp.Diff(v, back, addresses, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s is read back otherwise:\n%s", text, diff)
	}
}

// counted counts what is read of it.
type counted struct {
	r io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
