#!/bin/bash
# SPDX-License-Identifier: MIT
# Makes the disk of a whole Debian: mkdisk.sh OUT.img. GPT; partition "root" with ext4 (label "root"), Debian's own kernel,
# the cloud kernel beside it (key k in GRUB's menu), systemd, fio, xenstore-utils and a grub.cfg of its own; partition
# "data1", empty; partition "bulkhead", zeroes, an empty volume of configurations. Root logs in on hvc0 without a password.
# Packages come from the machine's own Debian sources. Needs root (for owners of files), no loop devices.
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
die() { echo "mkdisk: $*" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || exec sudo env BH_OWNER="$(id -u):$(id -g)" "$here/${0##*/}" "$out"

ROOT_MIB=1400 DATA_MIB=256 CONFIGS_MIB=16 START_MIB=1
ROOT_UUID=b01c4ead-0000-4000-8000-000000000001 DATA_UUID=b01c4ead-0000-4000-8000-000000000002 CONFIGS_UUID=b01c4ead-0000-4000-8000-000000000003
packages=linux-image-amd64,linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,dbus,fio,iproute2,iputils-ping,kmod,wget,kexec-tools,xenstore-utils

mkdir -p "$(dirname "$out")"
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}" bh-disk.XXXXXX) # not in build/: make looks for *.d there
trap 'rm -rf "$work" "$out.tmp"' EXIT
log=$out.log

# The sources of the distribution itself; others that the machine may have are no business of the guest.
# shellcheck disable=SC2016
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' \
    | sort -u > "$work/sources"
# shellcheck disable=SC2016
suite=$(apt-get indextargets --format '$(CODENAME)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' | head -n 1)
suite=${suite%%-*}
[ -s "$work/sources" ] && [ -n "$suite" ] || die "apt knows no Debian sources (are the package lists there?)"

# Runs before the kernel's package comes: its ramdisk shall hold what a guest's disk needs, not every driver there is
# (nvme: `make bench` boots the same disk without a hypervisor).
cat > "$work/early" <<'END'
set -e
mkdir -p "$1/etc/initramfs-tools/conf.d"
echo MODULES=list > "$1/etc/initramfs-tools/conf.d/guest"
printf 'xen-blkfront\nxen-netfront\next4\nnvme\n' > "$1/etc/initramfs-tools/modules"
END

cat > "$work/late" <<'END'
set -e
root=$1
echo debian-disk > "$root/etc/hostname"
printf '127.0.0.1 localhost debian-disk\n' > "$root/etc/hosts"
echo 'nameserver 10.0.2.3' > "$root/etc/resolv.conf"
echo 'LABEL=root / ext4 errors=remount-ro 0 1' > "$root/etc/fstab"
cat > "$root/etc/systemd/network/10-eth0.network" <<'NET'
[Match]
Name=eth0

[Network]
Address=10.0.2.17/24
Gateway=10.0.2.2
IPv6AcceptRA=no
LinkLocalAddressing=no
NET
mkdir -p "$root/boot/grub" "$root/etc/systemd/system.conf.d"
# hvc0's device shows late where many machines run at once.
printf '[Manager]\nDefaultDeviceTimeoutSec=10min\nDefaultTimeoutStartSec=10min\n' > "$root/etc/systemd/system.conf.d/slow.conf"
entry() { # TITLE RELEASE OPTIONS
    cat <<GRUB
menuentry "$1" $3 {
    linux /boot/vmlinuz-$2 root=LABEL=root ro console=hvc0 net.ifnames=0 quiet
    initrd /boot/initrd.img-$2
}
GRUB
    [ -e "$root/boot/vmlinuz-$2" ] && [ -e "$root/boot/initrd.img-$2" ]
}
plain=$(cd "$root/lib/modules" && ls | grep -v cloud) cloud=$(cd "$root/lib/modules" && ls | grep cloud)
{
    echo 'set timeout=1'
    echo 'search --no-floppy --label root --set root'
    entry Debian "$plain" ''
    entry 'Debian, cloud kernel' "$cloud" '--hotkey=k'
} > "$root/boot/grub/grub.cfg"
chroot "$root" passwd -q -d root
chroot "$root" systemctl -q enable systemd-networkd
# Nothing of the guest's own accord beside what a test asks of it.
chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service
echo 'LOAD_KEXEC=false' > "$root/etc/default/kexec" # reboot means reboot; who wants kexec says so
rm -f "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"
chroot "$root" systemd-machine-id-setup > /dev/null 2>&1
END
chmod 755 "$work/early" "$work/late"

# Documentation and translations are not what a small disk is for.
if ! mmdebstrap --mode=root --variant=minbase --include="$packages" --components=main \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt=force-unsafe-io \
        --essential-hook="$work/early \"\$1\"" --customize-hook="$work/late \"\$1\"" \
        "$suite" "$work/root" "$work/sources" > "$log" 2>&1; then
    tail -30 "$log" >&2
    die "mmdebstrap failed, see $log"
fi

img=$work/disk.img
truncate -s $((START_MIB + ROOT_MIB + DATA_MIB + CONFIGS_MIB + 1))M "$img"
{
    sgdisk -a 2048 -n "1:$((START_MIB * 2048)):+${ROOT_MIB}M" -c 1:root -u "1:$ROOT_UUID" \
           -n "2:0:+${DATA_MIB}M" -c 2:data1 -u "2:$DATA_UUID" \
           -n "3:0:+${CONFIGS_MIB}M" -c 3:bulkhead -u "3:$CONFIGS_UUID" "$img"
    mke2fs -F -t ext4 -L root -m 1 -b 4096 -E "offset=$((START_MIB << 20)),lazy_itable_init=0" -d "$work/root" \
           "$img" $((ROOT_MIB * 256))
} >> "$log" 2>&1 || { tail -30 "$log" >&2; die "cannot make the file system"; }
e2fsck -fn "$img?offset=$((START_MIB << 20))" >> "$log" 2>&1 || { tail "$log" >&2; die "the file system is not clean"; }
cp --sparse=always "$img" "$out.tmp"
[ -z "${BH_OWNER:-}" ] || chown "$BH_OWNER" "$out.tmp" "$log"
mv "$out.tmp" "$out"
