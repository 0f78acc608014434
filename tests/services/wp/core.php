<?php
/** wp core ..., wp maintenance-mode ... */

namespace Stand_In;

use WP_CLI;

WP_CLI::add_command(
	'core version',
	static function () {
		require ABSPATH . 'wp-includes/version.php';
		WP_CLI::line( $wp_version );
	},
	array( 'when' => 'before_wp_load' )
);

WP_CLI::add_command(
	'core is-installed',
	static fn() => end_with( is_blog_installed() ? 0 : 1 ),
	array( 'installing' => true )
);

WP_CLI::add_command(
	'core install',
	static function ( $arguments, $options ) {
		require_once ABSPATH . 'wp-admin/includes/upgrade.php';
		if ( is_blog_installed() ) {
			WP_CLI::log( 'WordPress is already installed.' );
			return;
		}
		foreach ( array( 'title', 'admin_user', 'admin_email', 'admin_password' ) as $name ) {
			if ( ! isset( $options[ $name ] ) ) {
				WP_CLI::error( "Parameter errors:\n missing --$name parameter" );
			}
		}
		if ( ! is_email( $options['admin_email'] ) ) {
			WP_CLI::error( "The '{$options['admin_email']}' email address is invalid." );
		}
		if ( ! empty( $options['skip-email'] ) ) {
			add_filter( 'pre_wp_mail', '__return_true' ); // of the notice to the new administrator
		}
		$GLOBALS['wpdb']->show_errors( false );
		wp_install( $options['title'], $options['admin_user'], $options['admin_email'], true, '', wp_slash( $options['admin_password'] ), $options['locale'] ?? '' );
		WP_CLI::success( 'WordPress installed successfully.' );
	},
	array( 'installing' => true )
);

/** What core updates there are, newest first. */
function core_updates() {
	require_once ABSPATH . 'wp-admin/includes/update.php';
	delete_site_transient( 'update_core' );
	wp_version_check( array(), true );
	$found = array();
	foreach ( (array) ( get_site_transient( 'update_core' )->updates ?? array() ) as $offer ) {
		$version = $offer->current ?? '';
		if ( version_compare( $version, $GLOBALS['wp_version'], '>' ) && ! isset( $found[ $version ] ) ) {
			$found[ $version ] = $offer;
		}
	}
	uksort( $found, static fn( $one, $other ) => version_compare( $other, $one ) );
	return $found;
}

function branch( $version ) {
	return implode( '.', array_slice( explode( '.', $version ), 0, 2 ) );
}

function kind_of_update( $version ) {
	return branch( $version ) === branch( $GLOBALS['wp_version'] ) ? 'minor' : 'major';
}

WP_CLI::add_command(
	'core check-update',
	static function ( $arguments, $options ) {
		$items = array();
		foreach ( core_updates() as $version => $offer ) {
			$items[] = array(
				'version'     => (string) $version,
				'update_type' => kind_of_update( $version ),
				'package_url' => $offer->packages->full ?? $offer->download ?? '',
			);
		}
		if ( ! $items && 'table' === ( $options['format'] ?? 'table' ) ) {
			WP_CLI::success( 'WordPress is at the latest version.' );
			return;
		}
		show( $items, array( 'version', 'update_type', 'package_url' ), $options );
	}
);

WP_CLI::add_command(
	'core update',
	static function ( $arguments, $options ) {
		define_skin();
		$now     = $GLOBALS['wp_version'];
		$updates = core_updates();
		if ( ! empty( $options['minor'] ) ) {
			$updates = array_filter( $updates, static fn( $version ) => 'minor' === kind_of_update( $version ), ARRAY_FILTER_USE_KEY );
		}
		$wanted = $options['version'] ?? array_key_first( $updates );
		if ( null === $wanted || ( $wanted === $now && empty( $options['force'] ) ) ) {
			WP_CLI::success( 'WordPress is up to date.' );
			return;
		}
		$wanted = (string) $wanted;
		if ( version_compare( $wanted, $now, '<' ) && empty( $options['force'] ) ) {
			WP_CLI::log( "WordPress is up to date at version $now." );
			WP_CLI::log( "The update's version ($wanted) is older: pass --force to downgrade." );
			return;
		}
		$offer = $updates[ $wanted ] ?? (object) array(
			'response' => 'upgrade',
			'current'  => $wanted,
			'version'  => $wanted,
			'locale'   => 'en_US',
			'download' => "https://downloads.wordpress.org/release/wordpress-$wanted.zip",
			'packages' => (object) array(
				'full'        => "https://downloads.wordpress.org/release/wordpress-$wanted.zip",
				'new_bundled' => null,
				'partial'     => null,
				'no_content'  => null,
				'rollback'    => null,
			),
		);
		WP_CLI::log( "Updating to version $wanted (en_US)..." );
		$skin   = new Quiet_Skin();
		$result = ( new \Core_Upgrader( $skin ) )->upgrade( $offer, array( 'do_rollback' => false ) );
		if ( is_wp_error( $result ) ) {
			WP_CLI::error( $result );
		}
		WP_CLI::success( 'WordPress updated successfully.' );
	}
);

WP_CLI::add_command(
	'core update-db',
	static function ( $arguments, $options ) {
		require_once ABSPATH . 'wp-admin/includes/upgrade.php';
		$wanted = (int) $GLOBALS['wp_db_version'];
		$now    = (int) get_option( 'db_version' );
		if ( $now === $wanted ) {
			WP_CLI::success( "WordPress database already at latest db version $now." );
			return;
		}
		if ( ! empty( $options['dry-run'] ) ) {
			WP_CLI::success( "WordPress database will be upgraded from db version $now to $wanted." );
			return;
		}
		wp_upgrade();
		WP_CLI::success( "WordPress database upgraded successfully from db version $now to $wanted." );
	}
);

WP_CLI::add_command(
	'core verify-checksums',
	static function ( $arguments, $options ) {
		require ABSPATH . 'wp-includes/version.php';
		$version = $options['version'] ?? $wp_version;
		$sums    = get_core_checksums_of( $version, $options['locale'] ?? 'en_US' );
		if ( ! $sums ) {
			WP_CLI::error( "Couldn't get checksums from WordPress.org." );
		}
		$has_errors = false;
		foreach ( $sums as $file => $md5 ) {
			if ( str_starts_with( $file, 'wp-content/' ) ) {
				continue;
			}
			if ( ! is_file( ABSPATH . $file ) ) {
				WP_CLI::warning( "File doesn't exist: $file" );
				$has_errors = true;
			} elseif ( md5_file( ABSPATH . $file ) !== $md5 ) {
				WP_CLI::warning( "File doesn't verify against checksum: $file" );
				$has_errors = true;
			}
		}
		foreach ( array( 'wp-admin', 'wp-includes' ) as $directory ) {
			foreach ( files_below( ABSPATH . $directory ) as $file ) {
				if ( ! isset( $sums[ "$directory/$file" ] ) ) {
					WP_CLI::warning( "File should not exist: $directory/$file" );
				}
			}
		}
		if ( $has_errors ) {
			WP_CLI::error( "WordPress installation doesn't verify against checksums." );
		}
		WP_CLI::success( 'WordPress installation verifies against checksums.' );
	}
);

/** wp-cli asks without loading WordPress; here WordPress asks, so that the tests' server is the one that answers. */
function get_core_checksums_of( $version, $locale ) {
	require_once ABSPATH . 'wp-admin/includes/update.php';
	$sums = get_core_checksums( $version, $locale );
	return is_array( $sums ) ? ( $sums[ $version ] ?? $sums ) : array();
}

/** @return string[] names relative to the directory */
function files_below( $directory ) {
	$found   = array();
	$options = \FilesystemIterator::SKIP_DOTS;
	foreach ( new \RecursiveIteratorIterator( new \RecursiveDirectoryIterator( $directory, $options ) ) as $file ) {
		$found[] = substr( $file->getPathname(), strlen( rtrim( $directory, '/' ) ) + 1 );
	}
	sort( $found );
	return $found;
}

function is_maintained() {
	return is_file( ABSPATH . '.maintenance' );
}

function maintain( $enable ) {
	define_skin();
	WP_Filesystem();
	$upgrader = new \WP_Upgrader( new Quiet_Skin() );
	$upgrader->init();
	$upgrader->maintenance_mode( $enable );
}

WP_CLI::add_command(
	'maintenance-mode activate',
	static function () {
		if ( is_maintained() ) {
			WP_CLI::error( 'Maintenance mode already activated.' );
		}
		maintain( true );
		WP_CLI::success( 'Activated Maintenance mode.' );
	}
);

WP_CLI::add_command(
	'maintenance-mode deactivate',
	static function () {
		if ( ! is_maintained() ) {
			WP_CLI::error( 'Maintenance mode already deactivated.' );
		}
		maintain( false );
		WP_CLI::success( 'Deactivated Maintenance mode.' );
	}
);

WP_CLI::add_command(
	'maintenance-mode status',
	static fn() => WP_CLI::line( 'Maintenance mode is ' . ( is_maintained() ? 'active.' : 'not active.' ) )
);
