#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs the Debian packages that build and tests need. Says nothing and touches nothing when they are there.
set -eu
need="gcc clang-format make binutils libc6-dev git xz-utils cpio file
qemu-system-x86 ovmf grub-common grub-pc-bin grub-efi-amd64-bin xorriso mtools
libfdt-dev zlib1g-dev uuid-dev libssl-dev libxen-dev u-boot-tools device-tree-compiler grub-xen-host mmdebstrap e2fsprogs gdisk
python3 python3-pexpect python3-pytest busybox-static iputils-ping xenstore-utils libcmocka-dev iproute2 ethtool iperf
bridge-utils nftables radvd lvm2 dmsetup nbd-client nbd-server ${BH_EXTRA_PACKAGES:-}"
missing=
for p in $need; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null | cut -c1-2)" = ii ] || missing="$missing $p"
done
# The guest's kernel is downloaded, not installed: apt has to know it.
lists=ok
[ -n "$(apt-cache show -q linux-image-amd64 2>/dev/null)" ] || lists=missing
[ -z "$missing" ] && [ $lists = ok ] && exit 0

[ -z "$missing" ] || echo "installing:$missing"
sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null || { echo "tools/setup.sh: run once as root to install:$missing" >&2; exit 1; }
    sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
install() { $sudo apt-get update -q && { [ -z "$missing" ] || $sudo apt-get install -y -q --no-install-recommends $missing; }; }
if ! install > "$log" 2>&1; then
    cat "$log" >&2
    echo "tools/setup.sh: could not install:$missing" >&2
    exit 1
fi
