<?php
/**
 * `wp homeport ...`: Homeport's own subcommands, one file each. The broker loads this file by a fixed --require.
 */

if (class_exists('WP_CLI')) {
    foreach (glob(__DIR__ . '/command-*.php') ?: [] as $homeport_command) {
        require_once $homeport_command;
    }
    unset($homeport_command);
}
