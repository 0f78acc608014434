#!/bin/sh
# Healthy: a real account logs in over TCP and is answered. (`mariadb-admin ping` says yes to "Access denied", too.)
set -eu
seen=$(mariadb --defaults-file=/run/mysqld/client.cnf --connect-timeout=5 --batch --skip-column-names \
    --execute="SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'information_schema'")
test "$seen" = 1
