#!/bin/bash
# Makes everything that a release consists of: hack/release.sh build OUT writes it into OUT, hack/release.sh verify makes it twice
# of the last commit, in places and with build caches of their own, and compares all bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

build() { # build OUT
  local out=$1 version arch name kubectl
  version=$(cat VERSION)
  mkdir -p "$out"
  find "$out" -maxdepth 1 -type f -delete # of an earlier version
  out=$(cd "$out" && pwd)

  kubectl=$(hack/controlplane.sh)/kubectl
  "$kubectl" kustomize config/default >"$out/install.yaml"
  "$kubectl" kustomize config/cleanup >"$out/cleanup.yaml"
  cp config/schemas/*.json "$out"
  SOURCE_DATE_EPOCH=0 "$(hack/helm.sh)/helm" package charts/macpool --destination "$out" >/dev/null
  hack/images.sh oci "$out" amd64 arm64
  for name in macpool-manager macpool-agent; do
    bin/release sbom -o "$out/$name-$version.cdx.json" "$out/$name-$version.oci.tar"
  done
  for arch in amd64 arm64; do
    # Root's, of one time and in one order, so that the same programs make the same archive.
    tar -C "bin/linux-$arch" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=go=rX,u+rw -c \
      manager agent installer macpool -C "$PWD" LICENSE | gzip -n9 >"$out/macpool-$version-linux-$arch.tar.gz"
  done
  (cd "$out" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum >SHA256SUMS)
  (cd "$out" && du -ch -- $(cut -c67- SHA256SUMS))
}

verify() {
  work=$(mktemp -d) # not local: the trap below sees it when the function is over
  trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
  git clone -q . "$work/a"
  git clone -q . "$work/another-place"
  "$work/a/hack/release.sh" build "$work/first"
  GOCACHE=$work/cache "$work/another-place/hack/release.sh" build "$work/second"
  diff -r "$work/first" "$work/second" || { echo "release: built twice, it differs" >&2; exit 1; }
  echo "release: built twice, all $(wc -l <"$work/first/SHA256SUMS") files are the same"
}

case ${1:-} in
build) build "$2" ;;
verify) verify ;;
*) echo "usage: hack/release.sh build OUT | verify" >&2 && exit 2 ;;
esac
