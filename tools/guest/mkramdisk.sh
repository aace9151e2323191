#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the Debian guest's ramdisk (an uncompressed cpio: the bundle compresses it) from the machine's own packages.
# Usage: mkramdisk.sh MODULES INIT OUT.cpio [PROGRAM ...]
set -eu
modules=$1 init=$2 out=$3
shift 3
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
die() { echo "mkramdisk: $*" >&2; exit 1; }

chmod 755 "$root"
mkdir -p "$root/bin" "$root/sbin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/run" "$root/etc" \
         "$root/root" "$root/usr/bin" "$root/usr/sbin" "$root/lib/modules"
busybox=$(command -v busybox) || die "busybox is missing (package busybox-static)"
cp "$busybox" "$root/bin/busybox"
"$root/bin/busybox" --list | while read -r applet; do
    case $applet in
    busybox | init | poweroff | reboot | halt | ping | ping6) ;;
    *) ln -s busybox "$root/bin/$applet" ;;
    esac
done

# The full ping: busybox's has no -i below a second and no statistics of duplicates.
ping=$(command -v ping) || die "ping is missing (package iputils-ping)"
# What a person looks at the store with: one program under nine names.
xenstore=$(command -v xenstore) || die "xenstore is missing (package xenstore-utils)"
for tool in chmod exists list ls read rm watch write; do ln -s xenstore "$root/bin/xenstore-$tool"; done
for program in "$ping" "$xenstore" "$@"; do
    cp -L "$program" "$root/bin/"
    for lib in $(ldd "$program" | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }'); do
        mkdir -p "$root$(dirname "$lib")"
        [ -e "$root$lib" ] || cp -L "$lib" "$root$lib"
    done
done

# The C library loads it by name where a thread is ended, as xenstore-watch ends one.
libc=$(ldd "$xenstore" | awk '$1 == "libc.so.6" { print $3 }')
cp -L "${libc%/*}/libgcc_s.so.1" "$root${libc%/*}/" || die "libgcc_s.so.1 is missing (package libgcc-s1)"

cp -r "$modules/." "$root/lib/modules/"
cp "$init" "$root/init"
chmod 755 "$root/init"
# The kernel runs these two for a xenstore shutdown request; PID 1 is a script, so they act at once.
for how in poweroff reboot halt; do
    printf '#!/bin/sh\nsync\nexec busybox %s -f\n' "$how" > "$root/sbin/$how"
    chmod 755 "$root/sbin/$how"
done
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) > "$out.tmp"
mv "$out.tmp" "$out"
