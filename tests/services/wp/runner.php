<?php
/** Read the command line, make ready what WordPress finds while it loads, run the command. */

namespace Stand_In;

const GLOBALS = array( 'path', 'url', 'require', 'skip-plugins', 'skip-themes', 'prompt', 'color', 'quiet', 'debug', 'user' );

class Run {
	public $arguments;
	public $options = array();
	public $globals = array( 'color' => true );
	private $command;
	private $settings;

	public function __construct( array $words ) {
		$positional = array();
		foreach ( $words as $word ) {
			if ( ! str_starts_with( $word, '--' ) || '--' === $word ) {
				$positional[] = $word;
				continue;
			}
			list( $name, $value ) = explode( '=', substr( $word, 2 ), 2 ) + array( 1 => true );
			if ( str_starts_with( $name, 'no-' ) ) {
				list( $name, $value ) = array( substr( $name, 3 ), false );
			}
			if ( in_array( $name, GLOBALS, true ) ) {
				$this->globals[ $name ] = $value;
			} else {
				$this->options[ $name ] = $value;
			}
		}
		$this->arguments = $positional;
		\WP_CLI::$is_quiet = ! empty( $this->globals['quiet'] );
	}

	/** Take the longest name that is a command from the arguments. */
	public function find_command() {
		for ( $count = count( $this->arguments ); $count > 0; $count-- ) {
			$name = implode( ' ', array_slice( $this->arguments, 0, $count ) );
			if ( isset( \WP_CLI::$commands[ $name ] ) ) {
				list( $this->command, $this->settings ) = \WP_CLI::$commands[ $name ];
				$this->arguments                        = array_slice( $this->arguments, $count );
				return;
			}
		}
		$first = $this->arguments[0] ?? '';
		\WP_CLI::error( "'$first' is not a registered wp command. See 'wp help' for available commands." );
	}

	public function is_installing() {
		return ! empty( $this->settings['installing'] );
	}

	public function needs_wordpress() {
		return ( $this->settings['when'] ?? 'after_wp_load' ) !== 'before_wp_load';
	}

	/** The one option that is asked for; its value is a line of standard input. */
	public function ask() {
		$asked = $this->globals['prompt'] ?? null;
		if ( is_string( $asked ) ) {
			echo "1/1 [--$asked=<$asked>]: ";
			$line = fgets( STDIN );
			if ( false !== $line && '' !== rtrim( $line, "\r\n" ) ) {
				$this->options[ $asked ] = rtrim( $line, "\r\n" );
			}
		}
	}

	public function run() {
		$this->ask();
		( $this->command )( $this->arguments, $this->options );
		end_with( 0 );
	}
}

function prepare( array $words ) {
	if ( array( '--version' ) === $words ) {
		echo "WP-CLI stand-in 1\n";
		end_with( 0 );
	}
	$run  = new Run( $words );
	$path = rtrim( (string) ( $run->globals['path'] ?? getcwd() ), '/' );
	if ( isset( $run->globals['require'] ) ) {
		if ( ! is_file( $run->globals['require'] ) ) {
			\WP_CLI::error( "Required file '" . basename( $run->globals['require'] ) . "' doesn't exist." );
		}
		require $run->globals['require'];
	}
	$run->find_command();
	if ( ! is_file( "$path/wp-includes/version.php" ) ) {
		\WP_CLI::error( "This does not seem to be a WordPress installation.\nThe used path is: $path/" );
	}
	define( 'ABSPATH', "$path/" );
	define( 'WP_CLI', true );
	define( 'WP_CLI_VERSION', '2.0.0-stand-in' );
	define( 'WP_DISABLE_FATAL_ERROR_HANDLER', true );
	if ( $run->is_installing() ) {
		define( 'WP_INSTALLING', true );
	}
	if ( $run->needs_wordpress() && ! is_file( "$path/wp-config.php" ) && ! is_file( dirname( $path ) . '/wp-config.php' ) ) {
		\WP_CLI::error( "'wp-config.php' not found.\nEither create one manually or use `wp config create`." );
	}
	pretend_request( (string) ( $run->globals['url'] ?? 'http://localhost' ) );
	hook_before_load( $run );
	chdir( $path );
	return $run;
}

function pretend_request( $url ) {
	$parts = parse_url( str_contains( $url, '://' ) ? $url : "http://$url" );
	$https = 'https' === ( $parts['scheme'] ?? 'http' );
	if ( $https ) {
		$_SERVER['HTTPS'] = 'on';
	}
	$_SERVER['HTTP_HOST']       = ( $parts['host'] ?? 'localhost' ) . ( isset( $parts['port'] ) ? ":{$parts['port']}" : '' );
	$_SERVER['SERVER_NAME']     = $parts['host'] ?? 'localhost';
	$_SERVER['SERVER_PORT']     = (string) ( $parts['port'] ?? ( $https ? 443 : 80 ) );
	$_SERVER['REQUEST_URI']     = $parts['path'] ?? '/';
	$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
	$_SERVER['REQUEST_METHOD']  = 'GET';
	$_SERVER['REMOTE_ADDR']     = '127.0.0.1';
	$_SERVER['HTTP_USER_AGENT'] = '';
}

/** wp-includes/plugin.php takes over what it finds in $wp_filter. */
function hook( $name, $function, $priority = 10, $accepted = 1 ) {
	$GLOBALS['wp_filter'][ $name ][ $priority ][] = array(
		'function'      => $function,
		'accepted_args' => $accepted,
	);
}

function hook_before_load( Run $run ) {
	hook( 'wp_die_handler', static fn() => __NAMESPACE__ . '\die_with' );
	hook( 'wp_die_ajax_handler', static fn() => __NAMESPACE__ . '\die_with' );
	hook( 'filesystem_method', static fn() => 'direct', 99 );
	hook( 'enable_maintenance_mode', static fn() => false );
	hook( 'wp_redirect', static fn( $location ) => \WP_CLI::error( "Something is trying to do a URL redirect to $location" ) );
	hook( 'init', static fn() => remove_action( 'init', 'wp_cron' ), 0 );
	$is_skipped = static fn( $skipped, $slug ) => true === $skipped || in_array( $slug, explode( ',', $skipped ), true );
	if ( isset( $run->globals['skip-plugins'] ) ) {
		$skipped   = $run->globals['skip-plugins'];
		$is_loaded = false; // once they are not loaded, the option is told as it is
		hook(
			'option_active_plugins',
			static function ( $plugins ) use ( $skipped, $is_skipped, &$is_loaded ) {
				return $is_loaded || ! is_array( $plugins ) ? $plugins : array_values(
					array_filter( $plugins, static fn( $file ) => ! $is_skipped( $skipped, slug_of( $file ) ) )
				);
			}
		);
		hook(
			'plugins_loaded',
			static function () use ( &$is_loaded ) {
				$is_loaded = true;
			},
			0
		);
	}
	if ( isset( $run->globals['skip-themes'] ) ) {
		$skipped  = $run->globals['skip-themes'];
		$is_setup = false;
		$without  = static function ( $theme ) use ( $skipped, $is_skipped, &$is_setup ) {
			return ! $is_setup && $is_skipped( $skipped, $theme ) ? '' : $theme;
		};
		hook( 'option_template', $without );
		hook( 'option_stylesheet', $without );
		hook(
			'after_setup_theme',
			static function () use ( &$is_setup ) {
				$is_setup = true;
			},
			0
		);
	}
}

function after_load( Run $run ) {
	if ( $run->is_installing() ) {
		return;
	}
	if ( ! is_blog_installed() ) {
		\WP_CLI::error( "The site you have requested is not installed.\nRun `wp core install` to create database tables." );
	}
}

/** wp_die, for a terminal. */
function die_with( $message, $title = '', $args = array() ) {
	if ( is_wp_error( $message ) ) {
		$message = $message->get_error_message();
	}
	$text = trim( html_entity_decode( wp_strip_all_tags( (string) $message ), ENT_QUOTES ) );
	\WP_CLI::error( '' === $text ? 'WordPress ended without a word.' : $text );
}

/** A plugin's directory, or the name of its only file. */
function slug_of( $file ) {
	return str_contains( $file, '/' ) ? dirname( $file ) : basename( $file, '.php' );
}

/** @return never */
function end_with( $code ) {
	exit( $code );
}

/** What --format and --fields make of a list. */
function show( array $items, array $fields, array $options ) {
	if ( isset( $options['fields'] ) ) {
		$asked = explode( ',', $options['fields'] );
		foreach ( $asked as $field ) {
			if ( $items && ! array_key_exists( $field, $items[0] ) ) {
				\WP_CLI::error( "Invalid field: $field." );
			}
		}
		$fields = $asked;
	}
	$rows = array_map( static fn( $item ) => array_merge( array_flip( $fields ), array_intersect_key( $item, array_flip( $fields ) ) ), $items );
	switch ( $options['format'] ?? 'table' ) {
		case 'json':
			\WP_CLI::line( json_encode( $rows, JSON_INVALID_UTF8_SUBSTITUTE ) );
			break;
		case 'count':
			echo count( $items );
			break;
		case 'csv':
			$output = fopen( 'php://output', 'w' );
			fputcsv( $output, $fields );
			array_map( static fn( $row ) => fputcsv( $output, array_map( __NAMESPACE__ . '\cell', $row ) ), $rows );
			break;
		default: // what a table is when it goes into a pipe
			\WP_CLI::line( implode( "\t", $fields ) );
			array_map( static fn( $row ) => \WP_CLI::line( implode( "\t", array_map( __NAMESPACE__ . '\cell', $row ) ) ), $rows );
	}
}

function cell( $value ) {
	return is_array( $value ) ? json_encode( $value ) : ( is_bool( $value ) ? (string) (int) $value : (string) $value );
}
