#!/bin/bash
# make verify: what is generated is fresh, what is tidy stays tidy, and the tree is as it was committed. All checks run, so that
# one run shows all that is to be mended.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=()

check() { # check NAME COMMAND...
  echo "verify: $1"
  "${@:2}" || failed+=("$1")
}

tidy() {
  local dir status=0
  for dir in . hack/kube hack/etcd hack/multus hack/lint hack/release hack/helm; do
    (cd "$dir" && go mod tidy -diff) || status=1
  done
  return $status
}

# The tests' API server is of the release of the client libraries, so that both share what is compiled for them.
one_kubernetes() {
  local got want
  want=$(sed -n 's#^\tk8s\.io/api v0\.\([0-9.]*\).*#\1#p' go.mod)
  got=$(sed -n 's#^\tk8s\.io/kubernetes v1\.\([0-9.]*\).*#\1#p' hack/kube/go.mod)
  [ "$got" = "$want" ] || { echo "hack/kube builds Kubernetes 1.$got, go.mod has k8s.io/api v0.$want"; return 1; }
}

go_files() { git ls-files -co --exclude-standard -- '*.go'; }

formatted() {
  local files
  files=$(go_files | xargs gofmt -l)
  [ -z "$files" ] || { echo "not gofmt-clean:" $files; return 1; }
}

licensed() {
  local f lines status=0
  while read -r f; do
    lines=1
    [[ $f == */zz_generated.* ]] && lines=5 # below its build constraint
    head -n "$lines" "$f" | grep -qxF '// SPDX-License-Identifier: Apache-2.0' ||
      { echo "$f does not begin with the license line"; status=1; }
  done < <(go_files)
  return $status
}

# Paths of this machine and the host of its module proxy have no place in the tree. A path counts where one begins: /src/ is not
# meant by go/src/.
no_machine() {
  local dir host words=()
  for dir in "$PWD" "$(dirname "$PWD")" "$HOME"; do
    case $dir in
    / | /tmp | /home | /opt | /srv | /usr | /var) ;; # every machine has these
    *) words+=(-e "(^|[^[:alnum:]._/-])${dir//./[.]}/") ;;
    esac
  done
  for host in $(go env GOPROXY | tr ',|' '\n' | sed -nE 's#^https?://([^/:]+).*#\1#p'); do words+=(-e "${host//./[.]}"); done
  git grep -nIE --untracked "${words[@]}" -- . ':!*.sum'
  [ $? -eq 1 ] # 1: looked, and found none
}

# What is linked into a program of ours, for any platform, and into the plugins that go with them.
linked() {
  local os
  for os in linux darwin windows; do
    GOOS=$os go list -deps -f '{{with .Module}}{{if .Version}}{{.Path}}@{{.Version}}{{end}}{{end}}' ./cmd/... tool || return
  done
}

dependencies_licensed() {
  local modules
  modules=$(linked) || return
  # shellcheck disable=SC2046 # one word for each module
  CGO_ENABLED=0 go run -C hack/release -mod=readonly -trimpath . check-licenses $(sort -u <<<"$modules")
}

vulnerabilities() {
  local db=${GOVULNDB:-https://vuln.go.dev}
  if ! curl -sSfo /dev/null --max-time 10 "$db/index/db.json"; then
    echo "verify: the vulnerability database $db cannot be reached: nothing was looked for"
    return 0
  fi
  make --no-print-directory vulncheck
}

clean_tree() {
  local changes
  changes=$(git status --porcelain) || return 1
  [ -z "$changes" ] && return
  echo "the tree is not as it was committed:"
  echo "$changes"
  git diff --stat
  return 1
}

check "generate" make --no-print-directory generate manifests
check "go mod tidy" tidy
check "one version of Kubernetes" one_kubernetes
check "gofmt" formatted
check "license lines" licensed
check "licences of what is linked" dependencies_licensed
check "known vulnerabilities" vulnerabilities
check "no machine in the tree" no_machine
check "lint" make --no-print-directory lint
check "clean tree" clean_tree

if [ ${#failed[@]} -gt 0 ]; then
  echo "verify: failed:$(printf ' %s;' "${failed[@]}")" >&2
  exit 1
fi
echo "verify: ok"
