#!/bin/bash
# Makes everything that a release consists of, and checks it:
#   build OUT            writes it into OUT
#   verify               makes it twice of the last commit, in places and with build caches of their own, and compares all bytes
#   push DIST REGISTRY   sends images and chart to a registry, and signs them there as the workflow that runs this
#   check DIST [KEY]     tells whether what was published is what it says, signed by the public key KEY, or else by the workflow of its version
set -euo pipefail
cd "$(dirname "$0")/.."

build() { # build OUT
  local out=$1 version arch name kubectl
  version=$(cat VERSION)
  mkdir -p "$out"
  find "$out" -maxdepth 1 -type f -delete # of an earlier version
  out=$(cd "$out" && pwd)

  images=$(hack/images.sh oci "$out" amd64 arm64) # a line for each: file, name, digest
  echo "$images"
  kubectl=$(hack/controlplane.sh)/kubectl
  "$kubectl" kustomize config/default | pinned >"$out/install.yaml"
  "$kubectl" kustomize config/cleanup | pinned >"$out/cleanup.yaml"
  cp config/schemas/*.json "$out"
  chart "$out"
  for arch in amd64 arm64; do
    archive "$out/macpool-$version-linux-$arch.tar.gz" "bin/linux-$arch" manager agent installer macpool
  done
  kubectl_plugin "$out" "$version"
  bin/release sbom "$out"/*.oci.tar "$out"/*.tar.gz
  (cd "$out" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum >SHA256SUMS)
  (cd "$out" && du -ch -- $(cut -c67- SHA256SUMS))
}

# A manifest with the digests of the images behind their names: whoever can change what a name stands for in a registry changes nothing
# that is installed by it.
pinned() {
  local edits='' file name digest
  while read -r file name digest; do edits+="s#(image: $name)\$#\\1@$digest#;"; done <<<"$images"
  sed -E "$edits"
}

# The chart, in which the digests are what is installed where neither a tag nor a digest is asked for.
chart() { # chart OUT
  local file name digest released=''
  while read -r file name digest; do
    name=${name##*/}
    released+="${released:+,}\"${name%:*}\":\"$digest\""
  done <<<"$images"
  rm -rf bin/chart
  mkdir -p bin/chart
  cp -r charts/macpool bin/chart
  sed -i "s#{}#{$released}#" bin/chart/macpool/templates/_released.tpl
  SOURCE_DATE_EPOCH=0 "$(hack/helm.sh)/helm" package bin/chart/macpool --destination "$1" >/dev/null
}

# The programs, with the licence texts of all that is linked into them; root's, of one time and in one order, so that the same programs
# make the same archive.
archive() { # archive FILE DIR PROGRAM...
  local texts=bin/licenses/programs programs=("${@:3}")
  rm -rf "$texts"
  bin/release licenses -o "$texts/licenses" "${programs[@]/#/$2/}"
  tar -C "$2" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=go=rX,u+rw -c "${programs[@]}" -C "$PWD/$texts" licenses \
    -C "$PWD" LICENSE | gzip -n9 >"$1"
}

# What runs on the machines of people, and how krew, the manager of kubectl's plugins, finds it: https://krew.sigs.k8s.io.
kubectl_plugin() { # kubectl_plugin OUT VERSION
  local platform program file
  sed "s/@VERSION@/$2/" hack/release/krew.yaml.in >"$1/krew.yaml"
  for platform in linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64; do
    program=kubectl-macpool file=kubectl-macpool-$2-$platform.tar.gz
    [ "${platform%-*}" != windows ] || program+=.exe
    GOOS=${platform%-*} GOARCH=${platform#*-} CGO_ENABLED=0 GOFLAGS=-buildvcs=true GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0 \
      go build -mod=readonly -trimpath -ldflags "-s -w" -o "bin/$platform/" ./cmd/kubectl-macpool
    archive "$1/$file" "bin/$platform" "$program"
    cat >>"$1/krew.yaml" <<EOF
    - selector: {matchLabels: {os: ${platform%-*}, arch: ${platform#*-}}}
      uri: https://github.com/macpool/macpool/releases/download/$2/$file
      sha256: $(sha256sum "$1/$file" | cut -c1-64)
      bin: $program
EOF
  done
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

push() { # push DIST REGISTRY
  local version name ref
  version=$(cat VERSION)
  for name in macpool-manager macpool-agent; do
    ref=$(bin/release push "$1/$name-$version.oci.tar" "$2/$name:$version")
    cosign sign --yes "$ref"
    cosign attest --yes --type cyclonedx --predicate "$1/$name-$version.cdx.json" "$ref"
  done
  ref=$("$(hack/helm.sh)/helm" push "$1/macpool-${version#v}.tgz" "oci://$2/charts" 2>&1 | tee /dev/stderr | sed -n 's/^Digest: *//p')
  cosign sign --yes "$2/charts/macpool@$ref"
}

check() { # check DIST [KEY]
  local version by ref verified
  CGO_ENABLED=0 go build -C hack/release -mod=readonly -trimpath -o ../../bin/release .
  if [ -n "${2:-}" ]; then
    bin/release verify -key "$2" "$1"
    return
  fi
  version=$(cat VERSION)
  by=(--certificate-oidc-issuer https://token.actions.githubusercontent.com
    --certificate-identity "https://github.com/macpool/macpool/.github/workflows/release.yml@refs/tags/$version")
  cosign verify-blob "${by[@]}" --bundle "$1/SHA256SUMS.sigstore.json" "$1/SHA256SUMS"
  cosign verify-blob-attestation "${by[@]}" --type slsaprovenance1 --bundle "$1/provenance.sigstore.json" "$1/install.yaml"
  verified=$(bin/release verify -signed "$1")
  echo "$verified"
  for ref in $(grep -o '[^ ]*@sha256:.*' <<<"$verified"); do # as they are in the registry
    cosign verify "${by[@]}" "$ref" >/dev/null
    cosign verify-attestation "${by[@]}" --type cyclonedx "$ref" >/dev/null
  done
}

case ${1:-} in
build) build "$2" ;;
verify) verify ;;
push) push "$2" "$3" ;;
check) check "$2" "${3:-}" ;;
*) echo "usage: hack/release.sh build OUT | verify | push DIST REGISTRY | check DIST [KEY]" >&2 && exit 2 ;;
esac
