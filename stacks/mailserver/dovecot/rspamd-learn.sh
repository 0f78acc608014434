#!/bin/sh
# Hands the message on stdin to Rspamd's controller: rspamd-learn spam|ham. The password is in a header file, never in the arguments.
# Whoever moves the message waits for this, hence the short limits.
set -eu
case $1 in spam | ham) ;; *) exit 64 ;; esac
exec /usr/bin/curl --silent --show-error --fail --output /dev/null --connect-timeout 2 --max-time 8 \
    --header @/run/homeport/rspamd.header --header "Content-Type: message/rfc822" \
    --data-binary @- "http://mail-rspamd.learn:11334/learn$1"
