<?php
/** wp plugin ..., wp theme ... */

namespace Stand_In;

use WP_CLI;

/** Messages of an upgrader, kept to be told when it fails. Its parent is WordPress's and is not there while this loads. */
function define_skin() {
	require_once ABSPATH . 'wp-admin/includes/class-wp-upgrader.php';
	require_once ABSPATH . 'wp-admin/includes/file.php';
	require_once ABSPATH . 'wp-admin/includes/misc.php';
	require_once ABSPATH . 'wp-admin/includes/plugin.php';
	require_once ABSPATH . 'wp-admin/includes/plugin-install.php';
	require_once ABSPATH . 'wp-admin/includes/theme.php';
	require_once ABSPATH . 'wp-admin/includes/update.php';
	require_once __DIR__ . '/skin.php';
}

spl_autoload_register(
	static function ( $name ) {
		if ( __NAMESPACE__ . '\Quiet_Skin' === $name ) {
			define_skin();
		}
	}
);

/** slug -> file of every plugin that is installed as one. */
function plugin_files() {
	define_skin();
	wp_cache_delete( 'plugins', 'plugins' );
	$files = array();
	foreach ( array_keys( get_plugins() ) as $file ) {
		$files[ slug_of( $file ) ] = $file;
	}
	return $files;
}

function plugin_file( $slug ) {
	$files = plugin_files();
	return $files[ $slug ] ?? null;
}

function header_version( $file ) {
	clearstatcache();
	return get_plugin_data( WP_PLUGIN_DIR . "/$file", false, false )['Version'];
}

function updates_of( $kind ) {
	define_skin();
	delete_site_transient( "update_{$kind}s" );
	'plugin' === $kind ? wp_update_plugins() : wp_update_themes();
	$known = get_site_transient( "update_{$kind}s" );
	return array_map( static fn( $offer ) => (array) $offer, (array) ( $known->response ?? array() ) );
}

function plugin_items() {
	$updates = updates_of( 'plugin' );
	$auto    = (array) get_site_option( 'auto_update_plugins', array() );
	$items   = array();
	foreach ( get_plugins() as $file => $data ) {
		$items[] = extension( slug_of( $file ), $data, is_plugin_active( $file ) ? 'active' : 'inactive', $updates[ $file ] ?? null )
			+ array( 'auto_update' => in_array( $file, $auto, true ) ? 'on' : 'off', 'file' => $file );
	}
	foreach ( get_mu_plugins() as $file => $data ) {
		$items[] = extension( slug_of( $file ), $data, 'must-use', null ) + array( 'auto_update' => 'off', 'file' => $file );
	}
	foreach ( get_dropins() as $file => $data ) {
		$items[] = extension( $file, $data, 'dropin', null ) + array( 'auto_update' => 'off', 'file' => $file );
	}
	return $items;
}

function extension( $name, $data, $status, $update ) {
	return array(
		'name'           => $name,
		'title'          => $data['Name'],
		'status'         => $status,
		'update'         => $update ? 'available' : 'none',
		'version'        => $data['Version'],
		'update_version' => $update['new_version'] ?? '',
		'update_package' => $update['package'] ?? null,
		'description'    => $data['Description'],
	);
}

function theme_items() {
	$updates = updates_of( 'theme' );
	$auto    = (array) get_site_option( 'auto_update_themes', array() );
	$items   = array();
	foreach ( wp_get_themes() as $slug => $theme ) {
		$status = 'inactive';
		if ( get_stylesheet() === $slug ) {
			$status = 'active';
		} elseif ( get_template() === $slug ) {
			$status = 'parent';
		}
		$data    = array( 'Name' => $theme->get( 'Name' ), 'Version' => $theme->get( 'Version' ), 'Description' => $theme->get( 'Description' ) );
		$items[] = extension( $slug, $data, $status, $updates[ $slug ] ?? null )
			+ array( 'auto_update' => in_array( $slug, $auto, true ) ? 'on' : 'off' );
	}
	return $items;
}

const LISTED = array( 'name', 'status', 'update', 'version', 'update_version', 'auto_update' );

WP_CLI::add_command( 'plugin list', static fn( $arguments, $options ) => show( plugin_items(), LISTED, $options ) );
WP_CLI::add_command( 'theme list', static fn( $arguments, $options ) => show( theme_items(), LISTED, $options ) );

/** Do something to each of the names, tell how many it was done to, and fail when it was not all of them. */
function each_of( $kind, $past, array $names, callable $work ) {
	$done = 0;
	foreach ( $names as $name ) {
		$done += $work( $name ) ? 1 : 0;
	}
	report( $kind, $past, $done, count( $names ) );
}

function report( $kind, $past, $done, $asked ) {
	if ( $done === $asked ) {
		WP_CLI::success( "$past $done of $asked {$kind}s." );
	} elseif ( 0 === $done ) {
		WP_CLI::error( "No {$kind}s " . strtolower( $past ) . '.' );
	} else {
		WP_CLI::error( "Only " . strtolower( $past ) . " $done of $asked {$kind}s." );
	}
}

WP_CLI::add_command(
	'plugin activate',
	static fn( $names ) => each_of(
		'plugin',
		'Activated',
		$names,
		static function ( $slug ) {
			$file = plugin_file( $slug );
			if ( null === $file ) {
				WP_CLI::warning( "The '$slug' plugin could not be found." );
				return false;
			}
			if ( is_plugin_active( $file ) ) {
				WP_CLI::warning( "Plugin '$slug' is already active." );
				return true;
			}
			$error = activate_plugin( $file );
			if ( is_wp_error( $error ) ) {
				WP_CLI::warning( "Failed to activate plugin. {$error->get_error_message()}" );
				return false;
			}
			WP_CLI::log( "Plugin '$slug' activated." );
			return true;
		}
	)
);

WP_CLI::add_command(
	'plugin deactivate',
	static fn( $names ) => each_of(
		'plugin',
		'Deactivated',
		$names,
		static function ( $slug ) {
			$file = plugin_file( $slug );
			if ( null === $file ) {
				WP_CLI::warning( "The '$slug' plugin could not be found." );
				return false;
			}
			if ( ! is_plugin_active( $file ) ) {
				WP_CLI::warning( "Plugin '$slug' isn't active." );
				return true;
			}
			deactivate_plugins( $file );
			WP_CLI::log( "Plugin '$slug' deactivated." );
			return true;
		}
	)
);

WP_CLI::add_command(
	'plugin delete',
	static fn( $names ) => each_of(
		'plugin',
		'Deleted',
		$names,
		static function ( $slug ) {
			$file = plugin_file( $slug );
			if ( null === $file ) {
				WP_CLI::log( "Plugin '$slug' already deleted." ); // a success there too
				return true;
			}
			WP_Filesystem();
			$place = str_contains( $file, '/' ) ? WP_PLUGIN_DIR . '/' . dirname( $file ) : WP_PLUGIN_DIR . "/$file";
			if ( ! $GLOBALS['wp_filesystem']->delete( $place, true ) ) {
				WP_CLI::warning( "The '$slug' plugin could not be deleted." );
				return false;
			}
			WP_CLI::log( "Deleted '$slug' plugin." );
			return true;
		}
	)
);

WP_CLI::add_command(
	'theme activate',
	static function ( $arguments ) {
		list( $slug ) = $arguments;
		$theme        = wp_get_theme( $slug );
		if ( ! $theme->exists() ) {
			WP_CLI::error( "The '$slug' theme could not be found." );
		}
		$problems = $theme->errors();
		if ( is_wp_error( $problems ) ) {
			WP_CLI::error( $problems );
		}
		if ( get_stylesheet() === $slug ) {
			WP_CLI::warning( "The '{$theme->get( 'Name' )}' theme is already active." );
			return;
		}
		switch_theme( $theme->get_stylesheet() );
		WP_CLI::success( "Switched to '{$theme->get( 'Name' )}' theme." );
	}
);

WP_CLI::add_command(
	'theme delete',
	static fn( $names, $options ) => each_of(
		'theme',
		'Deleted',
		$names,
		static function ( $slug ) use ( $options ) {
			define_skin();
			$theme = wp_get_theme( $slug );
			if ( ! $theme->exists() ) {
				WP_CLI::warning( "The '$slug' theme could not be found." );
				return false;
			}
			if ( get_stylesheet() === $slug && empty( $options['force'] ) ) {
				WP_CLI::warning( "Can't delete the currently active theme: $slug" );
				return false;
			}
			WP_Filesystem();
			if ( true !== delete_theme( $slug ) ) {
				WP_CLI::warning( "The '$slug' theme could not be deleted." );
				return false;
			}
			WP_CLI::log( "Deleted '$slug' theme." );
			return true;
		}
	)
);

/** slug -> version of what is installed. */
function installed( $kind ) {
	define_skin();
	clearstatcache();
	if ( 'theme' === $kind ) {
		wp_clean_themes_cache( false );
		return array_map( static fn( $theme ) => $theme->get( 'Version' ), wp_get_themes() );
	}
	return array_map( __NAMESPACE__ . '\header_version', plugin_files() );
}

/** Where wordpress.org says a version is; null and a warning when it says nothing. */
function package_of( $kind, $slug, $version ) {
	define_skin();
	$told = 'theme' === $kind
		? themes_api( 'theme_information', array( 'slug' => $slug, 'fields' => array( 'sections' => false ) ) )
		: plugins_api( 'plugin_information', array( 'slug' => $slug, 'fields' => array( 'sections' => false ) ) );
	if ( is_wp_error( $told ) ) {
		WP_CLI::warning( "Couldn't find '$slug' in the WordPress.org $kind directory." );
		return null;
	}
	if ( null === $version || $version === $told->version ) {
		return $told->download_link;
	}
	return str_replace( ".{$told->version}.zip", ".$version.zip", $told->download_link );
}

/** Put a package in the place of what is installed, or where nothing is. */
function place( $kind, $package, $overwrite ) {
	define_skin();
	$skin     = new Quiet_Skin();
	$upgrader = 'theme' === $kind ? new \Theme_Upgrader( $skin ) : new \Plugin_Upgrader( $skin );
	$result   = $upgrader->install( $package, array( 'overwrite_package' => $overwrite ) );
	if ( true === $result ) {
		return true;
	}
	$problem = is_wp_error( $result ) ? $result->get_error_message() : $skin->problem();
	WP_CLI::warning( '' === $problem ? 'The package could not be installed.' : $problem );
	return false;
}

foreach ( array( 'plugin', 'theme' ) as $kind ) {
	WP_CLI::add_command(
		"$kind install",
		static fn( $names, $options ) => each_of(
			$kind,
			'Installed',
			$names,
			static function ( $name ) use ( $kind, $options ) {
				if ( str_ends_with( $name, '.zip' ) ) {
					if ( ! is_file( $name ) ) {
						WP_CLI::warning( "Couldn't find '$name'." );
						return false;
					}
					return place( $kind, $name, ! empty( $options['force'] ) );
				}
				if ( isset( installed( $kind )[ $name ] ) && empty( $options['force'] ) ) {
					WP_CLI::warning( "$name: " . ucfirst( $kind ) . ' already installed.' );
					return true;
				}
				$package = package_of( $kind, $name, $options['version'] ?? null );
				return null !== $package && place( $kind, $package, ! empty( $options['force'] ) );
			}
		)
	);

	WP_CLI::add_command(
		"$kind update",
		static function ( $names, $options ) use ( $kind ) {
			$is_quiet = in_array( $options['format'] ?? '', array( 'json', 'csv' ), true );
			WP_CLI::$is_quiet = WP_CLI::$is_quiet || $is_quiet;
			$before   = installed( $kind );
			$updates  = array();
			foreach ( updates_of( $kind ) as $key => $offer ) {
				$updates[ 'theme' === $kind ? $key : slug_of( $key ) ] = $offer;
			}
			$status = array();
			foreach ( $names as $name ) {
				if ( ! isset( $before[ $name ] ) ) {
					WP_CLI::warning( "The '$name' $kind could not be found." );
					continue;
				}
				$wanted = $options['version'] ?? $updates[ $name ]['new_version'] ?? $before[ $name ];
				if ( $wanted === $before[ $name ] ) {
					continue;
				}
				$package = isset( $options['version'] ) ? package_of( $kind, $name, $wanted ) : $updates[ $name ]['package'];
				$status[ $name ] = $package && place( $kind, $package, true ) ? 'Updated' : 'Error';
			}
			$after = installed( $kind );
			$items = array();
			foreach ( $status as $name => $word ) {
				$items[] = array( 'name' => $name, 'old_version' => $before[ $name ], 'new_version' => $after[ $name ] ?? '', 'status' => $word );
			}
			if ( $items || $is_quiet ) {
				show( $items, array( 'name', 'old_version', 'new_version', 'status' ), $options );
			}
			$known = count( array_intersect( $names, array_keys( $before ) ) );
			$done  = count( array_keys( $status, 'Updated', true ) );
			if ( ! $status && $known === count( $names ) ) {
				WP_CLI::success( ucfirst( $kind ) . ' already updated.' );
			} elseif ( $done === count( $status ) && $known === count( $names ) ) {
				WP_CLI::success( "Updated $done of " . count( $names ) . " {$kind}s." );
			} else {
				WP_CLI::error( $done ? "Only updated $done of " . count( $names ) . " {$kind}s." : "No {$kind}s updated." );
			}
		}
	);
}

WP_CLI::add_command(
	'plugin verify-checksums',
	static function ( $names, $options ) {
		$files    = plugin_files();
		$names    = empty( $options['all'] ) ? $names : array_keys( $files );
		$problems = array();
		$skipped  = 0;
		foreach ( $names as $slug ) {
			if ( ! isset( $files[ $slug ] ) ) {
				WP_CLI::warning( "Could not find the '$slug' plugin." );
				++$skipped;
				continue;
			}
			$version = header_version( $files[ $slug ] );
			$answer  = wp_remote_get( "https://downloads.wordpress.org/plugin-checksums/$slug/$version.json" );
			$sums    = json_decode( wp_remote_retrieve_body( $answer ), true )['files'] ?? null;
			if ( ! is_array( $sums ) ) {
				WP_CLI::warning( "Could not retrieve the checksums for version $version of plugin $slug, skipping." );
				++$skipped;
				continue;
			}
			$is_single = ! str_contains( $files[ $slug ], '/' );
			$found     = $is_single ? array( $files[ $slug ] ) : files_below( WP_PLUGIN_DIR . "/$slug" );
			foreach ( $found as $file ) {
				$place = WP_PLUGIN_DIR . ( $is_single ? "/$file" : "/$slug/$file" );
				if ( ! isset( $sums[ $file ] ) ) {
					$problems[] = array( 'plugin_name' => $slug, 'file' => $file, 'message' => 'File was added' );
				} elseif ( ! in_array( md5_file( $place ), (array) $sums[ $file ]['md5'], true ) ) {
					$problems[] = array( 'plugin_name' => $slug, 'file' => $file, 'message' => 'Checksum does not match' );
				}
			}
			foreach ( array_diff( array_keys( $sums ), $found ) as $file ) {
				$problems[] = array( 'plugin_name' => $slug, 'file' => $file, 'message' => 'File is missing' );
			}
		}
		if ( $problems ) {
			show( $problems, array( 'plugin_name', 'file', 'message' ), $options );
		}
		$total  = count( $names );
		$failed = count( array_unique( array_column( $problems, 'plugin_name' ) ) );
		if ( $failed ) {
			WP_CLI::error( $failed + $skipped === $total ? 'No plugins verified.' : 'Only verified ' . ( $total - $failed - $skipped ) . " of $total plugins." );
		}
		WP_CLI::success( $skipped ? 'Verified ' . ( $total - $skipped ) . " of $total plugins ($skipped skipped)." : "Verified $total of $total plugins." );
	}
);
