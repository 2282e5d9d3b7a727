#!/usr/bin/env bash
# The steps of a release: check, build, push, sign, notes, publish. .github/workflows/release.yaml takes them one by one; all but sign and
# publish can be taken on any machine. Needs VERSION, the tag; REGISTRY; PLATFORMS for more than this machine's.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${VERSION:?the tag, such as v1.2.3}" "${REGISTRY:?where releases are pushed to}"
export VERSION REGISTRY
files=_output/release

fail() { echo "$*" >&2; exit 1; }

# What is told of a version in the sources is told of this one.
check() {
  local said
  said=$(sed -n 's/^VERSION *?= *//p' Makefile)
  [ "$said" = "$VERSION" ] || fail "the Makefile's VERSION is $said, and the tag $VERSION"
  said=$(grep -rhoE '\b(version: |ref=)v[0-9]+\.[^ ]*' cluster/argocd/tree | sed 's/.*[ =]//' | sort -u | xargs)
  [ "$said" = "$VERSION" ] || fail "the version in cluster/argocd/tree is $said, and the tag $VERSION"
}

# All that is put beside the release, into one directory, with the digests of it all.
build() {
  local flavor
  rm -rf "$files"
  mkdir -p "$files"
  for flavor in namespaced claim; do
    make --no-print-directory install-yaml FLAVOR="$flavor"
    mv _output/install.yaml "$files/install-$flavor.yaml"
  done
  go run -C cluster/images . release build
}

# One line for each name that was pushed, with its digest, in _output/pushed.txt.
push() {
  make --no-print-directory push | tee _output/pushed.txt
}

# Signs, with the identity of whoever runs this, what was pushed, and attests what the programs in it are made of: once each, whatever
# names it has.
sign() {
  local refs ref name sbom platform digest
  refs=$(sed -E 's/:[^:@/]+@/@/' _output/pushed.txt | sort -u)
  for ref in $refs; do
    cosign sign --yes --recursive "$ref"
    name=${ref%@*} name=${name##*/}
    for sbom in "$files/$name"-linux-*.spdx.json; do
      [ -f "$sbom" ] || continue # A configuration has no program.
      platform=${sbom##*"$name"-} platform=${platform%.spdx.json}
      digest=$(crane digest --platform "${platform/-/\/}" "$ref")
      cosign attest --yes --type spdxjson --predicate "$sbom" "${ref%@*}@$digest"
    done
  done
  cosign sign-blob --yes --new-bundle-format --bundle "$files/SHA256SUMS.sigstore.json" "$files/SHA256SUMS"
}

# What an operator must know before an upgrade to this release: whose workers it restarts.
notes() {
  local previous before after restarted exclude=()
  # Who runs a release came from the last, and not from what was to be tried in between.
  case $VERSION in *-*) ;; *) exclude=(--exclude 'v*-*') ;; esac
  git rev-parse --quiet --verify "$VERSION^{commit}" >/dev/null || fail "there is no tag $VERSION"
  echo "## Restarts workers"
  echo
  if ! previous=$(git describe --tags --abbrev=0 --match 'v[0-9]*' "${exclude[@]}" "$VERSION^" 2>/dev/null); then
    echo "None: this is the first release."
    return
  fi
  before=$(pools "$previous") after=$(pools "$VERSION")
  # Of the pools that both know, those with other pods.
  restarted=$(LC_ALL=C join <(echo "$before") <(echo "$after") | awk '$2 != $3 { split($1, at, "|"); print "- role `" at[2] "`, as in examples/" at[1] }' | LC_ALL=C sort)
  if [ -z "$restarted" ]; then
    echo "None, since $previous."
    return
  fi
  echo "The pods of these pools are not what they were in $previous, nor are those of pools like them:"
  echo
  echo "$restarted"
}

# pools prints the examples' pools of a commit, with a digest of their pods each.
pools() {
  git show "$1:internal/compose/testdata/templates.txt" | awk '{ print $1 "|" $2, $3 }' | LC_ALL=C sort
}

publish() {
  local prerelease=()
  case $VERSION in *-*) prerelease=(--prerelease) ;; esac
  notes > _output/notes.md
  gh release create "$VERSION" --repo "${GITHUB_REPOSITORY:?}" --verify-tag --notes-file _output/notes.md --generate-notes "${prerelease[@]}" "$files"/*
}

case ${1:-} in
  check | build | push | sign | notes | publish) "$1" ;;
  *) fail "usage: release.sh check|build|push|sign|notes|publish" ;;
esac
