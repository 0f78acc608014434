#!/bin/sh
# Healthy: a worker of php-fpm answers, and the database shows this account its tables.
set -eu
answer=$(REQUEST_METHOD=GET SCRIPT_NAME=/ping SCRIPT_FILENAME=/ping timeout 5 cgi-fcgi -bind -connect mail-roundcube.php:9000)
case $answer in
    *pong*) ;;
    *) echo "php-fpm answered: $answer" >&2; exit 1 ;;
esac
# shellcheck disable=SC2016 # the variables are PHP's
php -r '
    $password = trim(file_get_contents("/run/secrets/mail_db_roundcube_password"));
    $database = new PDO("mysql:host=mail-db;dbname=roundcube", "roundcube", $password, [PDO::ATTR_TIMEOUT => 5]);
    echo "schema ", $database->query("SELECT value FROM `system` WHERE name = \"roundcube-version\"")->fetchColumn(), "\n";
'
