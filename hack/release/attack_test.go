// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	testImage    = "tool-v1.oci.tar"
	testPrograms = "tool-v1-linux.tar.gz"
)

// A signer is a key in two files.
type signer struct{ private, public string }

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := signer{private: filepath.Join(dir, "key.pem"), public: filepath.Join(dir, "key.pub")}
	write(t, s.private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	write(t, s.public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	return s
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// release makes a small release, as hack/release.sh does: an image, an archive of programs, what installs the image, and the bills.
func release(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	imageOf(t, program, filepath.Join(dir, testImage), "example.com/tool:v1")
	texts := filepath.Join(t.TempDir(), "texts")
	if err := licenses([]string{"-o", texts, "-own", "../../LICENSE", program}, io.Discard); err != nil {
		t.Fatal(err)
	}
	entries, err := parseEntries([]string{"tool=" + program, "licenses=" + texts}, "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, testPrograms), packed(t, entries))
	a, err := openArtifact(filepath.Join(dir, testImage))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "install.yaml"), []byte("      - image: "+a.reference()+"\n"))
	write(t, filepath.Join(dir, "tool-1.tgz"), packed(t, map[string]entry{
		"tool/templates/_released.tpl": {path: "tool/templates/_released.tpl", text: fmt.Appendf(nil, `{"tool":"sha256:%s"}`, a.digest)},
	}))
	bills(t, dir)
	sum(t, dir)
	return dir
}

func bills(t *testing.T, dir string) {
	t.Helper()
	if err := sbom([]string{filepath.Join(dir, testImage), filepath.Join(dir, testPrograms)}, io.Discard); err != nil {
		t.Fatal(err)
	}
}

func packed(t *testing.T, entries map[string]entry) []byte {
	t.Helper()
	content, err := tarOf(entries)
	if err != nil {
		t.Fatal(err)
	}
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// sum writes SHA256SUMS of what is there.
func sum(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, file := range files {
		if !slices.Contains(about, file.Name()) {
			fmt.Fprintf(&lines, "%s  %s\n", digestOf(read(t, filepath.Join(dir, file.Name()))), file.Name())
		}
	}
	write(t, filepath.Join(dir, sumsFile), []byte(lines.String()))
}

// signAll signs a release as it is; one that is not whole cannot be signed so.
func signAll(t *testing.T, dir string, by signer) {
	t.Helper()
	if err := sign([]string{"-key", by.private, dir}, io.Discard); err != nil {
		t.Fatal(err)
	}
}

// signSums signs the checksums alone, whatever they are.
func signSums(t *testing.T, dir string, by signer) {
	t.Helper()
	key, err := readPrivateKey(by.private)
	if err != nil {
		t.Fatal(err)
	}
	b, err := signFile(key, read(t, filepath.Join(dir, sumsFile)))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.write(filepath.Join(dir, sumsBundle)); err != nil {
		t.Fatal(err)
	}
}

// restate changes the text of the provenance, and signs it again if by somebody.
func restate(t *testing.T, dir, before, after string, by *signer) {
	t.Helper()
	b, err := readBundle(filepath.Join(dir, provenanceFile))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.ReplaceAll(b.Envelope.Payload, []byte(before), []byte(after))
	if bytes.Equal(changed, b.Envelope.Payload) {
		t.Fatalf("the provenance does not say %q: %s", before, changed)
	}
	b.Envelope.Payload = changed
	if by != nil {
		key, err := readPrivateKey(by.private)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = signStatement(key, changed); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.write(filepath.Join(dir, provenanceFile)); err != nil {
		t.Fatal(err)
	}
}

// flip changes one byte of a file, the last of those that are given.
func flip(t *testing.T, file string, at []byte) {
	t.Helper()
	content := read(t, file)
	i := bytes.LastIndex(content, at)
	if i < 0 {
		t.Fatalf("%s has no %q", file, at)
	}
	content[i+len(at)-1] ^= 1
	write(t, file, content)
}

// flipProgram changes a byte of the program in the archive.
func flipProgram(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, testPrograms)
	unpacked, err := gzip.NewReader(bytes.NewReader(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]entry{}
	err = eachEntry(unpacked, func(header *tar.Header, content []byte) error {
		if header.Typeflag == tar.TypeReg {
			if header.Name == "tool" {
				content[len(content)-1] ^= 1
			}
			entries[header.Name] = entry{path: header.Name, mode: header.FileInfo().Mode(), text: content}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, packed(t, entries))
}

func remove(t *testing.T, dir, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		t.Fatal(err)
	}
}
