#!/bin/bash
# Healthy: clamd answers PING, which it does once its signatures are loaded, and says which they are.
set -eu
ask() {
    exec 3<> /dev/tcp/127.0.0.1/3310
    printf 'z%s\0' "$1" >&3
    IFS= read -r -t 5 -d '' -u 3 answer
    exec 3<&-
}
ask PING
[ "$answer" = PONG ] || { echo "PING was answered: $answer" >&2; exit 1; }
ask VERSION
case $answer in
    'ClamAV '*) echo "$answer" ;;
    *) echo "VERSION was answered: $answer" >&2; exit 1 ;;
esac
