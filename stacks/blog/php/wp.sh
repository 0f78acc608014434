#!/bin/sh
# wp-cli. The broker runs it as the user of one site, with --path, HOME and TMPDIR of that site.
exec php /usr/local/share/homeport/wp-cli/wp "$@"
