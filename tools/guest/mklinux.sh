#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the ramdisk of the Linux service domains (an uncompressed cpio: the bundle compresses it): programs of the machine's own Debian packages,
# the kernel's drivers with their table of dependencies, and the scripts of tools/guest/linux. Nothing else is in it. What only one role needs
# is packed in it as /role/ROLE.tar.gz, and takes no memory in the others.
# Usage: mklinux.sh DRIVERS RELEASE SCRIPTS OUT.cpio
set -eu
drivers=$1 release=$2 scripts=$3 out=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
die() { echo "mklinux: $*" >&2; exit 1; }
export PATH="$PATH:/usr/sbin:/sbin"

mkdir -m 755 "$root"
for folder in bin sbin dev proc sys run etc mnt vols role usr/bin usr/sbin var; do mkdir -p "$root/$folder"; done
for folder in tmp root var/run var/lock; do ln -s /run "$root/$folder"; done # what is written goes there; the rest is read-only
busybox=$(command -v busybox) || die "busybox is missing (package busybox-static)"
cp "$busybox" "$root/bin/busybox"
"$root/bin/busybox" --list | while read -r applet; do
    case $applet in
    busybox | init | ip | brctl | losetup | nbd-client | poweroff | reboot | halt) ;; # not in place of programs below
    *) ln -s busybox "$root/bin/$applet" ;;
    esac
done
ln -s ../bin/busybox "$root/sbin/modprobe" # where the kernel looks for it

add() { # FILE WHERE: one that /  has already is not needed twice
    [ -e "$root$2" ] && return
    mkdir -p "$to${2%/*}"
    cp -L "$1" "$to$2"
}
# Programs, their packages, and the role that alone needs them.
while read -r program package only; do
    to=$root${only:+/../$only}
    file=$(command -v "$program") || die "$program is missing (package $package)"
    add "$file" "/bin/$program"
    for lib in $(ldd "$file" | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }'); do add "$lib" "$lib"; done
done <<'END'
ip iproute2
bridge iproute2
brctl bridge-utils
nft nftables
radvd radvd router
xenstore xenstore-utils
losetup mount storage
lvm lvm2 storage
dmsetup dmsetup storage
nbd-client nbd-client storage
nbd-server nbd-server storage
END
for tool in chmod exists list ls read rm watch write; do ln -s xenstore "$root/bin/xenstore-$tool"; done
for tool in lvchange lvcreate lvremove lvresize lvs pvcreate pvs vgchange vgcreate vgextend vgs vgscan; do ln -s lvm "$root/bin/$tool"; done
# The C library loads it by name where a thread is ended, as xenstore-watch ends one.
libc=$(ldd "$(command -v xenstore)" | awk '$1 == "libc.so.6" { print $3 }')
to=$root
add "${libc%/*}/libgcc_s.so.1" "${libc%/*}/libgcc_s.so.1" || die "libgcc_s.so.1 is missing (package libgcc-s1)"

modules=lib/modules/$release
mkdir -p "$root/$modules" "$work/storage/$modules"
cp "$drivers"/*.ko "$root/$modules/" || die "the kernel $release has no drivers of ours"
"$busybox" depmod -b "$root" "$release" || die "depmod failed"
rm -f "$root/$modules/modules.symbols"
for m in ext4 jbd2 mbcache dm-mod dm-bufio dm-snapshot nbd loop xen-blkback nvme nvme-core; do
    [ ! -e "$root/$modules/$m.ko" ] || mv "$root/$modules/$m.ko" "$work/storage/$modules/"
done

pack="find . -exec touch -h -d @0 {} + ; find . | LC_ALL=C sort"
cp "$scripts"/* "$root/role/"
mv "$root/role/init" "$root/init"
chmod 755 "$root/init" "$root"/role/*
for only in router storage; do
    (cd "$work/$only" && eval "$pack" | tar -c --no-recursion --owner=0 --group=0 -T - | gzip -9n) > "$root/role/$only.tar.gz"
done
# The kernel runs these for a xenstore shutdown request; PID 1 is a script, so they act at once.
for how in poweroff reboot halt; do
    printf '#!/bin/sh\nsync\nexec busybox %s -f\n' "$how" > "$root/sbin/$how"
    chmod 755 "$root/sbin/$how"
done
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
(cd "$root" && eval "$pack" | cpio --quiet --reproducible -o -H newc -R 0:0) > "$out.tmp"
mv "$out.tmp" "$out"
