#!/bin/sh
# Healthy: the program answers about a site that nobody has; so it starts, and the sites' directory is there.
set -eu
answer=$(printf '{"action": "measure", "site": "no-site", "uid": 29999}' | timeout 8 /usr/local/bin/site-files) || true
case $answer in
    *'"missing"'*) echo "answers" ;;
    *) echo "the program said: $answer" >&2; exit 1 ;;
esac
