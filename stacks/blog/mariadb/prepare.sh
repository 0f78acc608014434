#!/bin/bash
# Makes the directories of the stack's bind mounts, each for the user of the one container that writes there. Runs to its end before anything
# else starts, at every `up`. What exists with the right owner is not touched; nothing is ever done below such a directory.
#
# /ssd and /hdd are ${HOMEPORT_SSD}/blog and ${HOMEPORT_HDD}/blog.
set -euo pipefail

while read -r directory uid gid mode; do
    if [ -L "$directory" ] || { [ -e "$directory" ] && [ ! -d "$directory" ]; }; then
        echo "blog-prepare: $directory is not a directory" >&2
        exit 1
    fi
    if [ ! -d "$directory" ]; then
        mkdir -m 700 "$directory"
        is_new=1
    else
        is_new=
    fi
    if [ -n "$is_new" ] || [ "$(stat -c %u:%g "$directory")" != "$uid:$gid" ]; then
        chmod "$mode" "$directory"
        chown "$uid:$gid" "$directory"
        echo "blog-prepare: $directory is for $uid:$gid now"
    fi
done << 'TABLE'
/ssd/mariadb 999 999 0750
/ssd/web 10002 10002 0755
/hdd/sites 0 0 0711
/hdd/import 10002 10002 0750
/hdd/import/packages 10002 10002 0755
TABLE
