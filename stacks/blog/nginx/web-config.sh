#!/bin/sh
# test: is the candidate in order? reload: use the current generation. served: which one answers now. Run by the broker.
set -eu
case ${1-} in
    test)
        exec nginx -t -q -c /etc/homeport/nginx.candidate.conf -e /dev/stderr
        ;;
    reload)
        nginx -t -q -c /etc/homeport/nginx.conf -e /dev/stderr
        exec nginx -s reload -c /etc/homeport/nginx.conf -e /dev/stderr
        ;;
    served)
        exec curl --silent --show-error --fail --max-time 5 --header 'Host: generation' http://127.0.0.1:8081/.homeport/generation
        ;;
    *)
        echo "usage: web-config test|reload|served" >&2
        exit 2
        ;;
esac
