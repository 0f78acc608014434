#!/bin/sh
# test: is the candidate in order? reload: use the current generation. served: which one answers now. Run by the broker.
set -eu
case ${1-} in
    test)
        exec php-fpm8.4 --test --fpm-config /etc/homeport/php-fpm.candidate.conf
        ;;
    reload)
        php-fpm8.4 --test --fpm-config /etc/homeport/php-fpm.conf # one that it cannot read would end FPM
        kill -USR2 "$(cat /run/homeport/php-fpm.pid)"
        ;;
    served)
        answer=$(REQUEST_METHOD=GET SCRIPT_NAME=/ping SCRIPT_FILENAME=/ping timeout 5 cgi-fcgi -bind -connect /run/php/homeport.sock)
        printf '%s\n' "$answer" | tail -n 1 | grep -xE '[0-9]+'
        ;;
    *)
        echo "usage: web-config test|reload|served" >&2
        exit 2
        ;;
esac
