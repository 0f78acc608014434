#!/bin/sh
# Fetch signatures every four hours; after a failure again in a quarter of an hour. clamd finds what is new by itself.
#
# /var/lib/clamav/.checked is touched whenever the mirror has said what is current and that is here: its age is how old the
# signatures may be at most (freshclam-health.sh). freshclam's own daemon leaves no such trace when nothing was new.
set -eu
every_s=14400
again_s=900
child=
trap 'kill $child 2> /dev/null; wait; exit 0' TERM INT
while :; do
    rm -rf /var/lib/clamav/tmp.* # a download that was interrupted leaves its own behind; nobody else writes here
    freshclam --config-file=/etc/homeport/freshclam.conf --stdout &
    child=$!
    if wait "$child"; then
        touch /var/lib/clamav/.checked
        pause_s=$every_s
    else
        echo "mail-freshclam: failed; next try in $again_s s" >&2
        pause_s=$again_s
    fi
    sleep "$pause_s" &
    child=$!
    wait "$child" || true
done
