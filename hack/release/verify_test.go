// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestT21SwappedRelease puts something else in the place of each part of a release, once as somebody who can write where it is published, and once as
// somebody who has besides got a part of it signed. Each is refused, and for the reason that it is (T21, R-S9).
func TestT21SwappedRelease(t *testing.T) {
	program := tool(t, false)
	published, key, theirs := release(t, program), newSigner(t), newSigner(t)
	signAll(t, published, key)
	var printed strings.Builder
	if err := verify([]string{"-key", key.public, published}, &printed); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed.String(), "6 files, made of commit ") || !strings.Contains(printed.String(), "example.com/tool:v1@sha256:") {
		t.Errorf("printed %q", printed.String())
	}
	other := filepath.Join(t.TempDir(), "other.oci.tar") // a whole image, of the same name
	imageOf(t, program, other, "example.com/tool:v1", "bin/more=text:more")

	tests := map[string]struct {
		attack func(t *testing.T, dir string)
		want   string
	}{
		"a program": {attack: flipProgram, want: testPrograms + " is not what SHA256SUMS says"},
		"a layer": {attack: func(t *testing.T, dir string) {
			t.Helper()
			flip(t, filepath.Join(dir, testImage), []byte{0})
		}, want: testImage + " is not what SHA256SUMS says"},
		"an image": {attack: func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, testImage), read(t, other))
		}, want: testImage + " is not what SHA256SUMS says"},
		"a bill": {attack: func(t *testing.T, dir string) {
			t.Helper()
			flip(t, filepath.Join(dir, "tool-v1.cdx.json"), []byte("golang.org/x/mod"))
		}, want: "tool-v1.cdx.json is not what SHA256SUMS says"},
		"a program, and its checksum": {attack: func(t *testing.T, dir string) {
			t.Helper()
			flipProgram(t, dir)
			sum(t, dir)
		}, want: "SHA256SUMS: it is not signed by this key"},
		"all of it, signed by another key": {attack: func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, testImage), read(t, other))
			bills(t, dir)
			sum(t, dir)
			signAll(t, dir, theirs)
		}, want: "SHA256SUMS: it is not signed by this key"},
		"the provenance": {attack: func(t *testing.T, dir string) {
			t.Helper()
			restate(t, dir, `"builder":{"id":"https://`, `"builder":{"id":"http://`, nil)
		}, want: "provenance.sigstore.json: it is not signed by this key"},
		"the provenance, signed by another key": {attack: func(t *testing.T, dir string) {
			t.Helper()
			restate(t, dir, `"builder":{"id":"https://`, `"builder":{"id":"http://`, &theirs)
		}, want: "provenance.sigstore.json: it is not signed by this key"},
		"a signature with that of something else": {attack: func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, sumsBundle), read(t, filepath.Join(dir, provenanceFile)))
		}, want: "SHA256SUMS: it is not signed by this key"},
		"no signature":  {attack: func(t *testing.T, dir string) { t.Helper(); remove(t, dir, sumsBundle) }, want: "reading the signature of the checksums"},
		"no provenance": {attack: func(t *testing.T, dir string) { t.Helper(); remove(t, dir, provenanceFile) }, want: "reading the provenance"},
		"no bill":       {attack: func(t *testing.T, dir string) { t.Helper(); remove(t, dir, "tool-v1.cdx.json") }, want: "tool-v1.cdx.json is missing"},
		"one file more": {attack: func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, "install.sh"), []byte("curl"))
		}, want: "install.sh is there, and SHA256SUMS does not name it"},

		// What follows is signed with our key: somebody who builds has been tricked, and the parts do not belong together.
		"signed: a layer": {attack: func(t *testing.T, dir string) {
			t.Helper()
			flip(t, filepath.Join(dir, testImage), []byte("\x1f\x8b\x08")) // of the one layer, which is compressed
			sum(t, dir)
			signSums(t, dir, key)
		}, want: "comparing its parts with their digests"},
		"signed: an image of another build": {attack: func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, testImage), read(t, other))
			sum(t, dir)
			signSums(t, dir, key)
		}, want: "provenance.sigstore.json: it is not about example.com/tool as it is here"},
		"signed: an image that is not what is installed": {attack: func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, testImage), read(t, other))
			bills(t, dir)
			sum(t, dir)
			signAll(t, dir, key)
		}, want: "which is no image of the release by its digest"},
		"signed: an image by its name alone": {attack: func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, "install.yaml"), []byte("        image: example.com/tool:v1\n"))
			sum(t, dir)
			signAll(t, dir, key)
		}, want: "install.yaml installs example.com/tool:v1, which is no image of the release by its digest"},
		"signed: a chart without digests": {attack: func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, "tool-1.tgz"), packed(t, map[string]entry{"x": {path: "x"}}))
			sum(t, dir)
			signAll(t, dir, key)
		}, want: "tool-1.tgz does not install example.com/tool:v1@sha256:"},
		"signed: a bill that names another module": {attack: func(t *testing.T, dir string) {
			t.Helper()
			flip(t, filepath.Join(dir, "tool-v1-linux.cdx.json"), []byte("golang.org/x/mod"))
			sum(t, dir)
			signAll(t, dir, key)
		}, want: "tool-v1-linux.cdx.json is not the bill of " + testPrograms},
		"signed: the provenance of another commit": {attack: func(t *testing.T, dir string) {
			t.Helper()
			restate(t, dir, `"gitCommit":"`, `"gitCommit":"0`, &key)
		}, want: "and it says otherwise"},
		"signed: the provenance of another repository": {attack: func(t *testing.T, dir string) {
			t.Helper()
			restate(t, dir, `"uri":"git+https://`+ours, `"uri":"git+https://`+ours+`-too`, &key)
		}, want: "and it says otherwise"},
		"signed: a provenance of more than is here": {attack: func(t *testing.T, dir string) {
			t.Helper()
			restate(t, dir, `"subject":[`, `"subject":[{"name":"install.sh","digest":{"sha256":"00"}},`, &key)
		}, want: "it is about install.sh, which is not here"},
		"signed: a statement that is no provenance": {attack: func(t *testing.T, dir string) {
			t.Helper()
			restate(t, dir, provenanceType, "https://slsa.dev/verification_summary/v1", &key)
		}, want: "not a https://slsa.dev/provenance/v1"},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(published)); err != nil {
				t.Fatal(err)
			}
			tt.attack(t, dir)
			err := verify([]string{"-key", key.public, dir}, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v; want one that says %q", err, tt.want)
			}
		})
	}
	t.Run("the key", func(t *testing.T) {
		if err := verify([]string{"-key", theirs.public, published}, io.Discard); err == nil || !strings.Contains(err.Error(), "it is not signed by this key") {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("neither a key nor cosign", func(t *testing.T) {
		for _, args := range [][]string{{published}, {"-signed", "-key", key.public, published}} {
			if err := verify(args, io.Discard); err == nil || !strings.Contains(err.Error(), "either -key or -signed") {
				t.Errorf("%v: got error %v", args, err)
			}
		}
		if err := verify([]string{"-signed", published}, io.Discard); err != nil {
			t.Error(err)
		}
	})
}

// TestT21OfNoCommit has a release be signed only when it can be said of which commit it is (T21).
func TestT21OfNoCommit(t *testing.T) {
	dir := release(t, tool(t, true))
	err := sign([]string{"-key", newSigner(t).private, dir}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "was built of a tree with changes that are in no commit") {
		t.Errorf("got error %v", err)
	}
}

// TestSubjects prints the files and the images of a release, for the workflow that says what they were made of.
func TestSubjects(t *testing.T) {
	dir := release(t, tool(t, false))
	var printed strings.Builder
	if err := subjects([]string{dir}, &printed); err != nil {
		t.Fatal(err)
	}
	d, err := openDist(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(printed.String()) {
		digest, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		got[name] = digest
	}
	if !maps.Equal(got, d.subjects()) || got["example.com/tool"] == "" {
		t.Errorf("got %v; want %v", got, d.subjects())
	}
}
