#!/bin/sh
# SPDX-License-Identifier: MIT
# storeutils [UNTIL]: Debian's xenstore-utils against what they must say, in rounds until the file UNTIL is there (without it: one round). Whatever
# is not as it must be is printed; the last line is "storeutils: N rounds, N commands, N wrong", the status 0 if none is.
stop=$1 rounds=0 commands=0 wrong=0
me=$(xenstore-read domid) d=data/utils got=/tmp/storeutils.$$
home=/local/domain/$me

is() { # WHAT GOT WANTED
    commands=$((commands + 1))
    [ "$2" = "$3" ] && return
    wrong=$((wrong + 1))
    printf '%s: "%s", not "%s"\n' "$1" "$2" "$3"
}

# want STATUS TEXT COMMAND ...
want() {
    status=$1 text=$2
    shift 2
    said=$("$@" 2>&1)
    is "$*" "$? $said" "$status $text"
}

lines() { printf '%s\n' "$@"; }

# All below a node, by xenstore-list and xenstore-read alone.
dump() {
    for key in $(xenstore-list "$1"); do
        printf '%s = "%s"\n' "$1/$key" "$(xenstore-read "$1/$key")"
        (dump "$1/$key")
    done
}

values() { # N: written, read, seen, listed
    want 0 '' xenstore-write "$d/a" "$1" "$d/b/c" "x$1" "$d/b/d" ''
    want 0 "$(lines "$1" "x$1")" xenstore-read "$d/a" "$home/$d/b/c"
    want 0 "$(lines "$d/a: $1" "$d/b/d: ")" xenstore-read -p "$d/a" "$d/b/d"
    want 0 "$(lines a b)" xenstore-list "$d"
    want 0 "$(lines "$d/b/c" "$d/b/d")" xenstore-list -p "$d/b"
    want 0 '' xenstore-exists "$d/a" "$d/b/d"
    want 0 "$(lines "$d/a = \"$1\"" "$d/b = \"\"" "$d/b/c = \"x$1\"" "$d/b/d = \"\"")" xenstore-ls -f "$d"
    want 0 "$(lines "a = \"$1\"" 'b = ""' " c = \"x$1\"" ' d = ""')" xenstore-ls "$d"
}

rights() {
    want 0 '' xenstore-chmod -r "$d/b" "n$me" r0
    want 0 "$(lines "$d/b = \"\"   (n$me,r0)" "$d/b/c = \"x$1\"   (n$me,r0)" "$d/b/d = \"\"   (n$me,r0)")" dots "$d" /b
    want 0 '' xenstore-chmod "$d/b/c" "n$me" b7 w8
    want 0 "$d/b/c = \"x$1\"   (n$me,b7,w8)" dots "$d" /b/c
}

# Lines of xenstore-ls -p that have $2 in them, without the dots that fill them.
dots() { xenstore-ls -f -p "$1" | grep "$2" | sed 's/ [ .]*(/   (/'; }

errors() {
    want 1 "xenstore-read: couldn't read path $d/none" xenstore-read "$d/none"
    want 1 '' xenstore-exists "$d/a" "$d/none"
    want 1 "xenstore-list: could not list path $d/none" xenstore-list "$d/none"
    want 1 "xenstore-ls: xs_directory ($d/none): No such file or directory" xenstore-ls "$d/none"
    want 1 "xenstore-rm: could not remove path $d/none/of/it" xenstore-rm "$d/none/of/it"
    want 1 "xenstore-read: couldn't read path /local/domain/0/name" xenstore-read /local/domain/0/name
    want 1 "xenstore-write: could not write path /local/domain/0/name" xenstore-write /local/domain/0/name x
    want 1 "xenstore-write: could not write path name" xenstore-write name x
    want 1 "xenstore-rm: could not remove path name" xenstore-rm name
    want 1 '' xenstore-exists /local/domain/0/name
    want 1 "xenstore-list: could not list path /local/domain/0" xenstore-list /local/domain/0
    want 1 "xenstore-ls: xs_directory (/local/domain/0): Permission denied" xenstore-ls /local/domain/0
    want 1 "xenstore-chmod: Error occurred setting permissions on 'name': Permission denied" xenstore-chmod name "n$me"
    want 1 "xenstore-chmod: Error occurred setting permissions on '/local/domain/0/name': Permission denied" \
        xenstore-chmod /local/domain/0/name "n$me"
    want 1 "xenstore-chmod: Error occurred setting permissions on '$d/a': Operation not permitted" xenstore-chmod "$d/a" n0
    # All or nothing: the second of these may not be written.
    want 1 "xenstore-write: could not write path name" xenstore-write "$d/b/new" 1 name x
    want 1 '' xenstore-exists "$d/b/new"
}

watched() { # sees each change once, in order
    rm -f "$got"
    timeout 600 xenstore-watch -n 5 "$d/w" > "$got" &
    until [ -s "$got" ]; do usleep 20000; done # the watch is set
    for i in 1 2 3; do xenstore-write "$d/w/$i" "$i"; done
    xenstore-rm "$d/w/2"
    wait $!
    is "xenstore-watch -n 5 $d/w" "$? $(cat "$got")" "0 $(lines "$d/w" "$d/w/1" "$d/w/2" "$d/w/3" "$d/w/2")"
}

removed() {
    want 0 '' xenstore-rm "$d/b/c" "$d/w"
    want 1 '' xenstore-exists "$d/b/c"
    want 0 "$(lines a b)" xenstore-list "$d"
    want 0 '' xenstore-rm -t "$d/b/d" # and what is empty then
    want 0 a xenstore-list "$d"
    want 0 '' xenstore-rm "$d"
    want 1 '' xenstore-exists "$d"
}

until [ $rounds -gt 0 ] && { [ -z "$stop" ] || [ -e "$stop" ]; }; do
    rounds=$((rounds + 1))
    values $rounds
    rights $rounds
    errors
    watched
    is dump "$(dump "$home")" "$(xenstore-ls -f "$home")"
    removed
done
rm -f "$got"
echo "storeutils: $rounds rounds, $commands commands, $wrong wrong"
[ $wrong = 0 ]
