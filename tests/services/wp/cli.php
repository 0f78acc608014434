<?php
/** The part of wp-cli's own interface that commands use: a class WP_CLI with the same names. */

/** What plugins' own commands extend. */
abstract class WP_CLI_Command {
}

class WP_CLI {
	/** @var array<string, array{callable|string, array<string, mixed>}> */
	public static $commands = array();
	public static $is_quiet = false;

	/** A function, an object that can be called, or a class whose public methods are subcommands. */
	public static function add_command( $name, $callable, $args = array() ) {
		if ( is_string( $callable ) && class_exists( $callable ) ) {
			$callable = new $callable();
		}
		if ( is_object( $callable ) && ! is_callable( $callable ) ) {
			foreach ( ( new ReflectionClass( $callable ) )->getMethods( ReflectionMethod::IS_PUBLIC ) as $method ) {
				if ( ! str_starts_with( $method->name, '__' ) ) {
					self::$commands[ $name . ' ' . str_replace( '_', '-', $method->name ) ] = array( array( $callable, $method->name ), $args );
				}
			}
			return true;
		}
		self::$commands[ $name ] = array( $callable, $args );
		return true;
	}

	public static function line( $message = '' ) {
		echo $message, "\n";
	}

	public static function log( $message ) {
		if ( ! self::$is_quiet ) {
			self::line( $message );
		}
	}

	public static function success( $message ) {
		self::log( "Success: $message" );
	}

	public static function warning( $message ) {
		fwrite( STDERR, 'Warning: ' . self::text( $message ) . "\n" );
	}

	public static function error( $message, $exit = true ) {
		fwrite( STDERR, 'Error: ' . self::text( $message ) . "\n" );
		if ( $exit ) {
			self::halt( 1 );
		}
	}

	public static function halt( $code ) {
		Stand_In\end_with( $code );
	}

	private static function text( $message ) {
		return $message instanceof WP_Error ? implode( "\n", $message->get_error_messages() ) : (string) $message;
	}
}
