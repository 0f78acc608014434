#!/bin/sh
# Become clamd as soon as there are signatures. On a new machine mail-freshclam is still fetching them; until then mail is queued.
#
# The official ones are two files, which come minutes apart. With the first alone clamd would start, and say "OK" of what only the other knows.
set -eu
cd /var/lib/clamav
is_there() { # FILE ...: whether one of them is
    for file in "$@"; do
        [ -s "$file" ] && return 0
    done
    return 1
}
has_signatures() { { is_there main.cvd main.cld && is_there daily.cvd daily.cld; } || is_there ./*.ndb ./*.hdb; }
if ! has_signatures; then
    echo "mail-clamav: no signatures yet; waiting for mail-freshclam to fetch them"
    until has_signatures; do sleep 2; done
    echo "mail-clamav: signatures are there"
fi
exec clamd --config-file=/etc/homeport/clamd.conf
