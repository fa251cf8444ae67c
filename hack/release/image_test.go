// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// newInput makes a directory with a program for each of two architectures, and a tree of texts, all of a time and with
// permissions that must not matter.
func newInput(t *testing.T, modified time.Time, umask os.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	for file, mode := range map[string]os.FileMode{"tool-amd64": 0o755, "tool-arm64": 0o755, "texts/a/LICENSE": 0o644, "texts/NOTICE": 0o644} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("this is "+file), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode&^umask); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func arguments(dir, format, out string) []string {
	platforms := map[string]string{"docker": "linux/arm64", "oci": "linux/amd64,linux/arm64"}[format]
	return []string{
		"-format", format, "-o", out, "-ref", "example.com/tool:v1", "-platform", platforms, "-user", "65532:65532",
		"-entrypoint", "/usr/bin/tool,-x", "-path", "/usr/bin", "-label", "a=b",
		"usr/bin/tool=" + filepath.Join(dir, "tool-{arch}"), "usr/bin/alias=->tool", `/etc/passwd=text:root:x:0\nme:x:1\n`,
		"tmp=dir:1777", "licenses=" + filepath.Join(dir, "texts"),
	}
}

func TestImageContent(t *testing.T) {
	out := filepath.Join(t.TempDir(), "image.tar")
	if err := image(arguments(newInput(t, time.Now(), 0), "docker", out), io.Discard); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("example.com/tool:v1")
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(out, &tag)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("got %d layers, %v; want one", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"drwxr-xr-x etc/",
		"-rw-r--r-- etc/passwd: root:x:0\nme:x:1\n",
		"drwxr-xr-x licenses/",
		"-rw-r--r-- licenses/NOTICE: this is texts/NOTICE",
		"drwxr-xr-x licenses/a/",
		"-rw-r--r-- licenses/a/LICENSE: this is texts/a/LICENSE",
		"dtrwxrwxrwx tmp/",
		"drwxr-xr-x usr/",
		"drwxr-xr-x usr/bin/",
		"Lrwxrwxrwx usr/bin/alias -> tool",
		"-rwxr-xr-x usr/bin/tool: this is tool-arm64",
	}
	if diff := cmp.Diff(want, list(t, content)); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	wantConfig := v1.Config{
		User: "65532:65532", Entrypoint: []string{"/usr/bin/tool", "-x"}, Env: []string{"PATH=/usr/bin"},
		Labels: map[string]string{"a": "b"},
	}
	if diff := cmp.Diff(wantConfig, config.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if config.Architecture != "arm64" || config.OS != "linux" || !config.Created.Equal(epoch) {
		t.Errorf("image is of %s/%s, %v; want linux/arm64, the epoch", config.OS, config.Architecture, config.Created)
	}
}

// list returns a line for each entry of a tar; those that are not root's, or of another time than the epoch, say so.
func list(t *testing.T, content io.Reader) []string {
	t.Helper()
	var lines []string
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		line := header.FileInfo().Mode().String() + " " + header.Name
		switch header.Typeflag {
		case tar.TypeReg:
			line += ": " + string(text)
		case tar.TypeSymlink:
			line += " -> " + header.Linkname
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || !header.ModTime.Equal(epoch) {
			line += fmt.Sprintf(" of %d:%d %q at %v", header.Uid, header.Gid, header.Uname, header.ModTime)
		}
		lines = append(lines, line)
	}
}

// TestImageReproducible makes an image twice of files that differ in nothing but times, permissions and place.
func TestImageReproducible(t *testing.T) {
	for _, format := range []string{"docker", "oci"} {
		t.Run(format, func(t *testing.T) {
			var archives [2][]byte
			for i := range archives {
				input := newInput(t, time.Now().Add(time.Duration(i)*time.Hour), os.FileMode(i*0o022))
				out := filepath.Join(t.TempDir(), "image.tar")
				if err := image(arguments(input, format, out), io.Discard); err != nil {
					t.Fatal(err)
				}
				var err error
				if archives[i], err = os.ReadFile(out); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(archives[0], archives[1]) {
				t.Error("the archives differ")
			}
		})
	}
}

// TestPush sends an image of two platforms to a registry, and pulls each.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	out := filepath.Join(t.TempDir(), "image.tar")
	var printed, pushed strings.Builder
	if err := image(arguments(newInput(t, time.Now(), 0), "oci", out), &printed); err != nil {
		t.Fatal(err)
	}
	reference := strings.TrimPrefix(server.URL, "http://") + "/tool:v1"
	if err := push([]string{out, reference}, &pushed); err != nil {
		t.Fatal(err)
	}
	_, digest, _ := strings.Cut(strings.TrimSpace(pushed.String()), "@")
	if !strings.HasSuffix(strings.TrimSpace(printed.String()), digest) {
		t.Errorf("pushed %q; image printed %q", pushed.String(), printed.String())
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		content, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		lines := list(t, content)
		if got, want := lines[len(lines)-1], "-rwxr-xr-x usr/bin/tool: this is tool-"+arch; got != want {
			t.Errorf("pulled %q; want %q", got, want)
		}
	}
}

func TestImageRefuses(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"two platforms in a docker-archive": {args: []string{"-ref", "a.b/c:d", "-platform", "linux/amd64,linux/arm64"}, want: "holds one platform, not 2"},
		"unknown format":                    {args: []string{"-ref", "a.b/c:d", "-format", "zip"}, want: `no format "zip"`},
		"no tag":                            {args: []string{"-ref", "a.b/c"}, want: "name of the image"},
		"no source":                         {args: []string{"-ref", "a.b/c:d", "file"}, want: `"file" is not path=SOURCE`},
		"the root":                          {args: []string{"-ref", "a.b/c:d", "/../=text:x"}, want: "is not path=SOURCE"},
		"no such file":                      {args: []string{"-ref", "a.b/c:d", "file=/no/such/file"}, want: "no such file"},
		"no mode":                           {args: []string{"-ref", "a.b/c:d", "tmp=dir:rwx"}, want: `mode of "tmp=dir:rwx"`},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "image.tar")
			err := image(append([]string{"-o", out}, tt.args...), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v; want one that says %q", err, tt.want)
			}
		})
	}
}
