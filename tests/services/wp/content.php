<?php
/** wp option, user, cron, cache, rewrite, language. */

namespace Stand_In;

use WP_CLI;

WP_CLI::add_command(
	'option get',
	static function ( $arguments, $options ) {
		$value = get_option( $arguments[0], null );
		if ( null === $value ) {
			WP_CLI::error( "Could not get '{$arguments[0]}' option. Does it exist?" );
		}
		if ( 'json' === ( $options['format'] ?? '' ) ) {
			WP_CLI::line( json_encode( $value ) );
		} else {
			WP_CLI::line( is_scalar( $value ) ? (string) $value : var_export( $value, true ) );
		}
	}
);

WP_CLI::add_command(
	'option update',
	static function ( $arguments ) {
		list( $name, $value ) = $arguments;
		$value                = sanitize_option( $name, $value );
		if ( get_option( $name ) === $value ) {
			WP_CLI::success( "Value passed for '$name' option is unchanged." );
		} elseif ( update_option( $name, $value ) ) {
			WP_CLI::success( "Updated '$name' option." );
		} else {
			WP_CLI::error( "Could not update option '$name'." );
		}
	}
);

WP_CLI::add_command(
	'user list',
	static function ( $arguments, $options ) {
		$items = array();
		foreach ( get_users( array( 'orderby' => 'ID' ) ) as $user ) {
			$items[] = array(
				'ID'              => $user->ID,
				'user_login'      => $user->user_login,
				'display_name'    => $user->display_name,
				'user_email'      => $user->user_email,
				'user_registered' => $user->user_registered,
				'roles'           => implode( ',', $user->roles ),
			);
		}
		show( $items, array( 'ID', 'user_login', 'display_name', 'user_email', 'user_registered', 'roles' ), $options );
	}
);

WP_CLI::add_command(
	'user update',
	static function ( $arguments, $options ) {
		$user = is_numeric( $arguments[0] ) ? get_user_by( 'id', (int) $arguments[0] ) : get_user_by( 'login', $arguments[0] );
		if ( ! $user ) {
			WP_CLI::error( "Invalid user ID, email or login: '{$arguments[0]}'" );
		}
		if ( ! empty( $options['skip-email'] ) ) {
			add_filter( 'send_email_change_email', '__return_false' );
			add_filter( 'send_password_change_email', '__return_false' );
		}
		$changes = array_intersect_key( $options, array_flip( array( 'user_pass', 'user_email', 'display_name' ) ) );
		if ( ! $changes ) {
			WP_CLI::error( 'Need some fields to update.' );
		}
		$updated = wp_update_user( array( 'ID' => $user->ID ) + wp_slash( $changes ) );
		if ( is_wp_error( $updated ) ) {
			WP_CLI::error( $updated );
		}
		WP_CLI::success( "Updated user {$user->ID}." );
	}
);

/** @return array<int, array<string, mixed>> events in the order of their time */
function cron_events() {
	$items = array();
	foreach ( _get_cron_array() as $time => $hooks ) {
		foreach ( (array) $hooks as $hook => $events ) {
			foreach ( (array) $events as $signature => $event ) {
				$seconds = $time - time();
				$items[] = array(
					'hook'              => $hook,
					'next_run_gmt'      => gmdate( 'Y-m-d H:i:s', $time ),
					'next_run_relative' => $seconds <= 0 ? 'now' : human_time_diff( time(), $time ),
					'recurrence'        => $event['schedule'] ? human_time_diff( 0, $event['interval'] ) : 'Non-repeating',
					'sig'               => $signature,
					'args'              => $event['args'],
					'schedule'          => $event['schedule'],
					'interval'          => $event['interval'] ?? null,
					'time'              => $time,
				);
			}
		}
	}
	return $items;
}

WP_CLI::add_command(
	'cron event list',
	static fn( $arguments, $options ) => show( cron_events(), array( 'hook', 'next_run_gmt', 'next_run_relative', 'recurrence' ), $options )
);

WP_CLI::add_command(
	'cron event run',
	static function ( $arguments, $options ) {
		if ( empty( $options['due-now'] ) ) {
			WP_CLI::error( 'Please specify one or more cron events, or use --due-now/--all.' );
		}
		define( 'DOING_CRON', true );
		$due = array_filter( cron_events(), static fn( $event ) => $event['time'] <= time() );
		foreach ( $due as $event ) {
			$start = microtime( true );
			if ( $event['schedule'] ) {
				wp_reschedule_event( $event['time'], $event['schedule'], $event['hook'], $event['args'] );
			}
			wp_unschedule_event( $event['time'], $event['hook'], $event['args'] );
			do_action_ref_array( $event['hook'], $event['args'] );
			WP_CLI::log( sprintf( "Executed the cron event '%s' in %ss.", $event['hook'], round( microtime( true ) - $start, 3 ) ) );
		}
		WP_CLI::success( sprintf( 'Executed a total of %d cron event%s.', count( $due ), 1 === count( $due ) ? '' : 's' ) );
	}
);

WP_CLI::add_command(
	'cache flush',
	static function () {
		if ( ! wp_cache_flush() ) {
			WP_CLI::error( 'The object cache could not be flushed.' );
		}
		WP_CLI::success( 'The cache was flushed.' );
	}
);

WP_CLI::add_command(
	'rewrite flush',
	static function () {
		flush_rewrite_rules( false );
		if ( ! get_option( 'rewrite_rules' ) ) {
			WP_CLI::warning( "Rewrite rules are empty, possibly because of a missing permalink_structure option. Use 'wp rewrite list' to verify, or 'wp rewrite structure' to update permalink_structure." );
		} else {
			WP_CLI::success( 'Rewrite rules flushed.' );
		}
	}
);

/** No translations are installed and none are to be had here. */
WP_CLI::add_command( 'language core update', static fn() => WP_CLI::success( 'Translations are up to date.' ) );
WP_CLI::add_command( 'language plugin update', static fn() => WP_CLI::success( 'Translations are up to date.' ) );
