#!/bin/bash
# Builds the images of the manager and the agent, without a container daemon and without a base: hack/images.sh FORMAT OUT ARCH...
# FORMAT docker writes OUT/macpool-{manager,agent}.tar of one architecture, which a runtime on this machine loads; oci writes
# OUT/macpool-{manager,agent}-VERSION.oci.tar of all that are named, for a registry. The binaries stay in bin/linux-ARCH.
set -euo pipefail
cd "$(dirname "$0")/.."

format=$1 out=$2
archs=("${@:3}")
version=$(cat VERSION)
binaries=(manager agent installer macpool)
# What a network with macpool as its IPAM may need and some distributions lack: interfaces, and what is chained behind them.
reference=(main/bridge main/host-device main/macvlan main/vlan ipam/static meta/sbr meta/tuning)

plugins=github.com/containernetworking/plugins
plugins_version=$(sed -n "s#^\t$plugins \(v[0-9.]*\).*#\1#p" go.mod)

build() { # build ARCH: the first of them runs on its own, the second in the image of the agent
  local dir=bin/linux-$1
  export GOOS=linux GOARCH=$1 CGO_ENABLED=0
  # A release is of a commit, which its programs name, and does not depend on how Go is set up here.
  [ "$format" = docker ] || export GOFLAGS=-buildvcs=true GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0
  go build -mod=readonly -trimpath -ldflags "-s -w" -o "$dir/" "${binaries[@]/#/./cmd/}"
  go build -mod=readonly -trimpath -ldflags "-s -w -X $plugins/pkg/utils/buildversion.BuildVersion=$plugins_version" \
    -o "$dir/reference/" "${reference[@]/#/$plugins/plugins/}"
}

# The licence texts are those of one architecture: the modules are the same for all.
image() { # image NAME BINARIES ARGUMENT...: the image NAME, with the licence texts of BINARIES
  local name=$1 file=$out/$1.tar texts=bin/licenses/$1 contents
  [ "$format" = docker ] || file=$out/$name-$version.oci.tar
  rm -rf "$texts"
  read -ra contents <<<"$2"
  bin/release licenses -o "$texts" "${contents[@]/#/bin/linux-${archs[0]}/}"
  bin/release image -format "$format" -o "$file" -ref "ghcr.io/macpool/$name:$version" -platform "$(IFS=,; echo "${archs[*]/#/linux/}")" \
    -label org.opencontainers.image.source=https://github.com/macpool/macpool -label "org.opencontainers.image.version=$version" \
    -label org.opencontainers.image.licenses=Apache-2.0 "${@:3}" "licenses=$texts"
}

mkdir -p "$out" bin
exec 9>bin/.images.lock # two runs in one tree write the same programs
flock 9
for arch in "${archs[@]}"; do (build "$arch"); done
go build -C hack/release -mod=readonly -trimpath -o ../../bin/release .
image macpool-manager manager -user 65532:65532 -entrypoint /manager 'manager=bin/linux-{arch}/manager'
cni=()
for plugin in "${reference[@]#*/}"; do cni+=("cni/reference/$plugin=bin/linux-{arch}/reference/$plugin"); done
image macpool-agent "agent installer macpool ${reference[*]/#*\//reference/}" -entrypoint /agent \
  'agent=bin/linux-{arch}/agent' 'installer=bin/linux-{arch}/installer' 'cni/macpool=bin/linux-{arch}/macpool' "${cni[@]}"
