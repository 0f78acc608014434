#!/bin/sh
# Healthy: a message was scanned to its verdict. Neither counted nor logged as mail; one symbol is enough to see the rules at work.
set -eu
answer=$(printf 'From: <health@homeport.invalid>\r\n\r\nhealth\r\n' | curl --silent --show-error --fail --max-time 8 \
    --header 'Flags: no_log,no_stat' --header 'Settings: {"symbols_enabled": ["MISSING_SUBJECT"]}' \
    --data-binary @- http://127.0.0.1:11333/checkv2)
case $answer in
    *'"MISSING_SUBJECT"'*) echo "scanned" ;;
    *) echo "no verdict: $answer" >&2; exit 1 ;;
esac
