#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetches Debian's packaged kernel, unmodified, and lays out what the bundle needs of it:
#   OUT/vmlinux   the ELF with the PVH note, taken out of the bzImage's XZ payload
#   OUT/modules/  the Xen front-end modules
#   OUT/version   the kernel's release string
# Usage: fetch-kernel.sh OUT. The package comes from the machine's own apt sources.
set -eu
out=$1
mkdir -p "$out"

die() { echo "fetch-kernel: $*" >&2; exit 1; }

pkg=$(apt-cache depends linux-image-amd64 2>/dev/null |
      sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
[ -n "$pkg" ] || die "apt knows no linux-image-amd64 (is the package list up to date?)"
deb=$(ls "$out/$pkg"_*.deb 2>/dev/null | head -n 1 || true)
if [ -z "$deb" ]; then
    (cd "$out" && apt-get -qq -o APT::Sandbox::User=root download "$pkg") || die "cannot download $pkg"
    deb=$(ls "$out/$pkg"_*.deb | head -n 1)
fi
rm -rf "$out/pkg" "$out/modules"
mkdir -p "$out/pkg" "$out/modules"
release=${pkg#linux-image-}
# A .deb is big; only a few files of it are needed.
dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$out/pkg" \
    "./boot/vmlinuz-$release" \
    "./lib/modules/$release/kernel/drivers/net/xen-netfront.ko" \
    "./lib/modules/$release/kernel/drivers/block/xen-blkfront.ko"
cp "$out/pkg/lib/modules/$release/kernel/drivers"/*/xen-*front.ko "$out/modules/"

# Documentation/x86/boot.rst: setup_sects at 0x1f1, "HdrS" at 0x202, payload_offset and _length at 0x248;
# the payload counts from the protected-mode code and ends with four bytes of inflated size.
bz="$out/pkg/boot/vmlinuz-$release"
u() { od -An -v -t "u$2" -j "$1" -N "$2" "$bz" | tr -d ' '; }
[ "$(dd if="$bz" bs=1 skip=514 count=4 2>/dev/null)" = HdrS ] || die "$bz is no bzImage"
off=$((($(u 497 1) + 1) * 512 + $(u 584 4)))
len=$(($(u 588 4) - 4))
tail -c +$((off + 1)) "$bz" 2> /dev/null | head -c "$len" | xz -dc > "$out/vmlinux.tmp" || die "payload of $bz is not XZ"
[ "$(head -c 4 "$out/vmlinux.tmp" | tail -c 3)" = ELF ] || die "payload of $bz is no ELF"
readelf -n "$out/vmlinux.tmp" 2>/dev/null | grep -q 'Xen.*0x00000012' ||
    die "$release carries no PVH entry note"
echo "$release" > "$out/version"
rm -rf "$out/pkg"
mv "$out/vmlinux.tmp" "$out/vmlinux"
