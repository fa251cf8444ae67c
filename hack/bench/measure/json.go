// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/json"
	"math"
)

// JSON has no NaN and no infinity, and a ratio of nothing is one of them. In a file such a figure is null, and read it is NaN again: it meets no
// target, and is a gap in a chart.

// MarshalJSON writes a figure that is none as null.
func (t Target) MarshalJSON() ([]byte, error) {
	type plain Target
	return json.Marshal(struct {
		plain
		Value *float64 `json:"value"`
	}{plain(t), orNil(t.Value)})
}

// UnmarshalJSON is the inverse.
func (t *Target) UnmarshalJSON(data []byte) error {
	type plain Target
	read := struct {
		*plain
		Value *float64 `json:"value"`
	}{plain: (*plain)(t)}
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	t.Value = orNaN(read.Value)
	return nil
}

// MarshalJSON writes values that are none as null.
func (l Line) MarshalJSON() ([]byte, error) {
	type plain Line
	values := make([]*float64, len(l.Y))
	for i, v := range l.Y {
		values[i] = orNil(v)
	}
	return json.Marshal(struct {
		plain
		Y []*float64 `json:"y"`
	}{plain(l), values})
}

// UnmarshalJSON is the inverse.
func (l *Line) UnmarshalJSON(data []byte) error {
	type plain Line
	read := struct {
		*plain
		Y []*float64 `json:"y"`
	}{plain: (*plain)(l)}
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	l.Y = nil
	for _, v := range read.Y {
		l.Y = append(l.Y, orNaN(v))
	}
	return nil
}

func orNil(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}
