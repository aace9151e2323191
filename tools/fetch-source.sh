#!/bin/sh
# SPDX-License-Identifier: MIT
# Unpacks the upstream part of a Debian source package, of one version and one checksum:
#   fetch-source.sh OUT PACKAGE VERSION SHA256
# It comes from where this machine gets Debian's packages, through its own apt and with apt's signatures, by sources and lists of their own: the
# machine's sources need not say deb-src, and are as they were afterwards. Debian's patches are not applied.
set -eu
[ $# -eq 4 ] || { echo "usage: fetch-source.sh OUT PACKAGE VERSION SHA256" >&2; exit 2; }
out=$1 package=$2 version=$3 sum=$4
die() { echo "fetch-source: $*" >&2; exit 1; }

mkdir -p "$(dirname "$out")"
work=$(cd "$(dirname "$out")" && pwd)/.${out##*/}.new
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/parts" "$work/tree"

# shellcheck disable=SC2016
rows=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' | sort -u)
[ -n "$rows" ] || die "apt knows no Debian sources (are the package lists there?)"
key=/usr/share/keyrings/debian-archive-keyring.gpg
signed=
[ ! -e $key ] || signed="[signed-by=$key] "
echo "$rows" | sed "s|^|deb-src $signed|" > "$work/sources.list"

own_apt() {
    (cd "$work" && apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts="$work/parts" \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache::PkgCache= -o Dir::Cache::SrcPkgCache= -o APT::Sandbox::User= "$@" > "$work/log" 2>&1) ||
        { cat "$work/log" >&2; die "cannot have the source of $package $version"; }
}
own_apt -o APT::Update::Error-Mode=any update
own_apt --download-only source "$package=$version"

tar=$(ls "$work/$package"_*.orig.tar.* 2> /dev/null) || die "$package $version has no upstream part of its own"
echo "$sum  $tar" | sha256sum --check --status || die "$(basename "$tar") has the checksum $(sha256sum < "$tar" | cut -d' ' -f1), not $sum"
tar -x -f "$tar" -C "$work/tree" --strip-components=1 --no-same-owner
rm -rf "$out"
mv "$work/tree" "$out"
