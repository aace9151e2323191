#!/bin/bash
# SPDX-License-Identifier: MIT
# mkiso.sh OUT CMDLINE [CONTROL [BUNDLE]]: a GRUB image with the core that boots by BIOS and by UEFI.
# "none" (or nothing) leaves a module out. Environment: CORE (default: bulkhead.elf beside CONTROL, else build/),
# MULTIBOOT=1 for the Multiboot 1 loader, CONTROL_ARGS for words after the control domain's module.
set -eu
out=$1 cmdline=$2 control=${3:-none} bundle=${4:-none}
root=$(cd "$(dirname "$0")/.." && pwd)
core=${CORE:-}
if [ -z "$core" ]; then
    core=$root/build/bulkhead.elf
    [ "$control" != none ] && [ -f "$(dirname "$control")/bulkhead.elf" ] && core=$(dirname "$control")/bulkhead.elf
fi
loader=multiboot2 module=module2
[ "${MULTIBOOT:-2}" = 1 ] && loader=multiboot module=module

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/boot/grub"
cp "$core" "$dir/boot/bulkhead.elf"
# GRUB's script language splits at blanks and gives ( ) ; & | meaning: each word goes in single quotes.
quoted=
for w in $cmdline; do quoted="$quoted '${w//\'/}'"; done
{
    echo "serial --unit=0 --speed=115200"
    echo "terminal_input serial"
    echo "terminal_output serial"
    echo "set timeout=0"
    echo "menuentry Bulkhead {"
    echo "    $loader /boot/bulkhead.elf$quoted"
    if [ "$control" != none ]; then
        cp "$control" "$dir/boot/control.elf"
        echo "    $module /boot/control.elf ${CONTROL_ARGS:-}"
        if [ "$bundle" != none ]; then
            cp "$bundle" "$dir/boot/bundle.itb"
            echo "    $module /boot/bundle.itb bundle"
        fi
    fi
    echo "}"
} > "$dir/boot/grub/grub.cfg"
grub-mkrescue --compress=no --fonts= --locales= --themes= -o "$out.tmp" "$dir" > "$out.log" 2>&1 ||
    { cat "$out.log" >&2; rm -f "$out.tmp"; exit 1; }
rm -f "$out.log"
mv "$out.tmp" "$out"
