// SPDX-License-Identifier: Apache-2.0

package agentapi

import (
	"encoding/json"
	"fmt"
)

// What each ADD says and hears is written and read by hand: encoding/json studies the types of all fields of a message before its first one, in each
// process anew, and an executed plugin has one message of each kind. The form is the one that the tags say, which the other side goes by.

// MarshalJSON is json.Marshaler's.
func (r *Request) MarshalJSON() ([]byte, error) {
	m := make(members, 0, 512)
	m.raw("command", quote(string(r.Command)))
	m.text("containerID", r.ContainerID)
	m.text("netns", r.NetNS)
	m.text("interface", r.Interface)
	m.text("network", r.Network)
	m.text("pool", r.Pool)
	m.text("link", r.Link)
	m.flag("needsParent", r.NeedsParent)
	m.flag("macAlone", r.MACAlone)
	m.text("ipam", r.IPAM)
	m.part("pod", func(m *members) {
		m.text("namespace", r.Pod.Namespace)
		m.text("name", r.Pod.Name)
		m.text("uid", r.Pod.UID)
	})
	if err := m.seldom("wish", r.Wish.IPs != nil || r.Wish.MAC != "" || r.Wish.Claim != "", &r.Wish); err != nil {
		return nil, err
	}
	if err := m.seldom("valid", len(r.Valid) > 0, r.Valid); err != nil {
		return nil, err
	}
	if err := m.seldom("after", r.After != Attachment{}, &r.After); err != nil {
		return nil, err
	}
	m.part("trace", func(m *members) {
		m.text("parent", r.Trace.Parent)
		m.text("state", r.Trace.State)
	})
	return m.end(), nil
}

// members are those of an object, without its end.
type members []byte

func (m *members) raw(key string, value []byte) {
	open := byte(',')
	if len(*m) == 0 {
		open = '{'
	}
	*m = append(*m, open, '"')
	*m = append(append(append(*m, key...), '"', ':'), value...)
}

func (m *members) end() []byte {
	if len(*m) == 0 {
		return []byte("{}")
	}
	return append(*m, '}')
}

// text enters a text that is not empty.
func (m *members) text(key, value string) {
	if value != "" {
		m.raw(key, quote(value))
	}
}

// flag enters what is so.
func (m *members) flag(key string, value bool) {
	if value {
		m.raw(key, []byte("true"))
	}
}

// part enters an object that has members.
func (m *members) part(key string, fill func(*members)) {
	var inner members
	if fill(&inner); len(inner) > 0 {
		m.raw(key, inner.end())
	}
}

// seldom enters what few messages have.
func (m *members) seldom(key string, there bool, value any) error {
	if !there {
		return nil
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	m.raw(key, encoded)
	return nil
}

func quote(text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // encoding/json has none for a string
	}
	return quoted
}

// UnmarshalJSON is json.Unmarshaler's.
func (l *Lease) UnmarshalJSON(data []byte) error {
	var has map[string]json.RawMessage
	if err := json.Unmarshal(data, &has); err != nil {
		return err
	}
	for _, field := range []struct {
		key  string
		into any
	}{
		{"mac", &l.MAC},
		{"ips", &l.IPs},
		{"routes", &l.Routes},
		{"dns", &l.DNS},
		{"parent", &l.Parent},
		{"name", &l.Name},
		{"claim", &l.Claim},
		{"quiet", &l.Quiet},
	} {
		value, ok := has[field.key]
		if !ok {
			continue
		}
		if err := json.Unmarshal(value, field.into); err != nil {
			return fmt.Errorf("%s of a lease: %w", field.key, err)
		}
	}
	return nil
}
