#!/bin/sh
# SPDX-License-Identifier: MIT
# Lays out what the bundle needs of a packaged kernel, unmodified:
#   OUT/vmlinuz   the kernel as it came: a bzImage, or an ELF; the one in it has the PVH note
#   OUT/modules/  the Xen front-end modules, uncompressed; none where they are built in; in vlan/ those of 802.1Q, if it has them
#   OUT/drivers/  those of the Linux service domains (mklinux.sh) and all that they need, uncompressed
#   OUT/version   the kernel's release string
# Usage: fetch-kernel.sh OUT [KERNEL]. KERNEL is
#   nothing             what linux-image-amd64 of the machine's apt sources depends on
#   a package's name    that one, and the packages of modules or binaries that it depends on
#   a.deb[,b.deb ...]   package files, as many as the kernel was split into
#   another file        a bzImage or an ELF; modules come from lib/modules/RELEASE beside it, else from that of this machine
set -eu
out=$1 kernel=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
pkg=$out/pkg
rm -rf "$pkg" "$out/modules.tmp" "$out/drivers.tmp"
mkdir -p "$pkg" "$out/modules.tmp/vlan" "$out/drivers.tmp"
front_ends='xen-netfront xen-blkfront' vlan='llc stp garp mrp 8021q' # in the order in which they go in
# What a Linux service domain serves with, filters and translates, and drives.
drivers='xen-netfront xen-blkfront xen-netback xen-blkback bridge 8021q nft_chain_nat nft_connlimit nft_ct nft_fib_inet nft_limit nft_masq nft_nat nft_reject_inet
    e1000e igb nvme xhci-pci snd-hda-intel snd-hda-codec-generic loop dm-mod dm-snapshot nbd ext4 crc32c_generic'

die() { echo "fetch-kernel: $*" >&2; exit 1; }
depends() { apt-cache depends "$1" 2> /dev/null | sed -n "s/^ *\(Pre\)\{0,1\}Depends: \(linux-\($2\)-[0-9][^ ]*\)\$/\2/p"; }

# Prints the file's name; one that is there already is not fetched again.
download() {
    deb=$(ls "$out/$1"_*.deb 2> /dev/null | head -n 1 || true)
    if [ -z "$deb" ]; then
        (cd "$out" && apt-get -qq -o APT::Sandbox::User=root download "$1" >&2) || die "cannot download $1"
        deb=$(ls "$out/$1"_*.deb | head -n 1)
    fi
    echo "$deb"
}

# Which files are there depends on how the distribution splits its kernel.
unpack() {
    dpkg-deb --fsys-tarfile "$1" | tar -x -C "$pkg" --wildcards --no-anchored 'boot/vmlinu[xz]-*' 'modules/*/vmlinu[xz]' '*.ko*' 2> /dev/null || true
}

case $kernel in
*.deb)
    for deb in $(echo "$kernel" | tr , ' '); do
        [ -f "$deb" ] || die "$deb is missing"
        unpack "$deb"
    done ;;
*/*)
    [ -f "$kernel" ] || die "$kernel is missing" ;;
*)
    name=${kernel:-$(depends linux-image-amd64 image | head -n 1)}
    [ -n "$name" ] || die "apt knows no linux-image-amd64 (is the package list up to date?)"
    for p in "$name" $(depends "$name" 'image\|modules\|binary'); do
        deb=$(download "$p")
        unpack "$deb"
    done ;;
esac
case $kernel in
*.deb | "") image= ;;
*/*) image=$kernel ;;
*) image= ;;
esac
[ -n "$image" ] || image=$(find "$pkg" -name 'vmlinu[xz]*' -type f | head -n 1)
[ -n "$image" ] || die "no kernel in ${kernel:-$name}"

cp "$image" "$out/vmlinuz.tmp"
"$here/../unpack-kernel" "$image" "$out/vmlinux.tmp"
# The release: by the banner in the kernel itself, whatever the file is called. A part of a path below.
release=$(grep -a -o -m 1 'Linux version [0-9][^ /]*' "$out/vmlinux.tmp" | head -n 1 | cut -d' ' -f3)
[ -n "$release" ] || die "$image does not say which Linux it is"
readelf -n "$out/vmlinux.tmp" 2> /dev/null | grep -q 'Xen.*0x00000012' || die "$release carries no PVH entry note (CONFIG_PVH)"

# Modules: out of the packages, or of where the kernel's are installed; compressed or not. Files alone: a link in a package could lead to
# any file of this machine, which the guest would get.
where=$pkg
if [ -z "$(find "$pkg" -type f -name 'xen-*front.ko*' | head -n 1)" ]; then
    for where in "$(dirname "$image")/../lib/modules/$release" "/usr/lib/modules/$release" "/lib/modules/$release" "$pkg"; do
        [ -d "$where" ] && break
    done
fi
take() { # FOLDER NAME ...: uncompressed
    to=$1
    shift
    for name; do
        m=$(find "$where/" -type f -name "$name.ko*" | head -n 1)
        case $m in
        "") ;;
        *.ko) cp "$m" "$to/$name.ko" ;;
        *.xz) xz -dc "$m" > "$to/$name.ko" ;;
        *.zst) zstd -dcq "$m" > "$to/$name.ko" || die "$m needs zstd (package zstd)" ;;
        *.gz) gzip -dc "$m" > "$to/$name.ko" ;;
        *) die "$m: a compression that is not known" ;;
        esac
    done
}
# shellcheck disable=SC2086
take "$out/modules.tmp" $front_ends
# shellcheck disable=SC2086
take "$out/modules.tmp/vlan" $vlan
# And what those need in turn, by what each says of itself; what no file has is built in, or not of this kernel.
take_all() {
    while [ $# -gt 0 ]; do
        name=$1
        shift
        [ ! -e "$out/drivers.tmp/$name.ko" ] || continue
        take "$out/drivers.tmp" "$name"
        [ ! -e "$out/drivers.tmp/$name.ko" ] || set -- "$@" $(tr '\0' '\n' < "$out/drivers.tmp/$name.ko" | sed -n 's/^depends=//p' | tr ',' ' ')
    done
}
# shellcheck disable=SC2086
take_all $drivers
[ -n "$(ls "$out/modules.tmp" | grep -v '^vlan$')" ] || echo "fetch-kernel: $release has no front-end modules: they have to be built in" >&2
rm -rf "$pkg" "$out/modules" "$out/drivers"
mv "$out/modules.tmp" "$out/modules"
mv "$out/drivers.tmp" "$out/drivers"
echo "$release" > "$out/version"
rm -f "$out/vmlinux.tmp"
mv "$out/vmlinuz.tmp" "$out/vmlinuz"
