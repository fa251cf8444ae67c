#!/bin/bash
# images.sh DIR: writes the images that the nodes import into DIR: macpool's own as a release has them, the pause process,
# busybox for the tests' pods, and Multus' daemon. Needs no registry and no container engine.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
out=$1
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

make --no-print-directory images >/dev/null
cp dist/images/*.tar "$out/"

image=$build/release
(cd hack/release && CGO_ENABLED=0 go build -mod=readonly -trimpath -o "$image" .)
make_image() { # make_image REFERENCE FLAG-OR-ENTRY...
  "$image" image -o "$out/$(basename "$1" | tr : -).tar" -ref "$1" -platform "linux/$(go env GOARCH)" "${@:2}" >/dev/null
}

CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$build/pause" ./hack/cluster/pause
make_image macpool.test/pause:1 -entrypoint /pause pause="$build/pause"

busybox=$(command -v busybox)
links=()
for applet in $("$busybox" --list); do [ "$applet" = busybox ] || links+=("bin/$applet=->busybox"); done
# Under the name, too, by which the documentation's pods pull it.
for name in macpool.test/busybox:1 docker.io/library/busybox:1.37; do
  make_image $name -cmd /bin/sh -path /bin bin/busybox="$busybox" "${links[@]}" tmp=dir:1777 \
    'etc/passwd=text:root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' 'etc/group=text:root:x:0:\n'
done

# As in upstream's image, /var/run is /run: runtimes name network namespaces by the one, and the other is mounted.
make_image macpool.test/multus:1 -entrypoint /multus-daemon multus-daemon="$MULTUS_BIN/multus-daemon" 'var/run=->/run'
