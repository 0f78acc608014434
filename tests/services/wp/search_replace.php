<?php
/** wp search-replace: also inside serialized values, whose lengths it sets right. */

namespace Stand_In;

use WP_CLI;

WP_CLI::add_command(
	'search-replace',
	static function ( $arguments, $options ) {
		global $wpdb;
		list( $old, $new ) = $arguments;
		if ( $old === $new ) {
			WP_CLI::warning( "Replacement value '$old' is the same as search value '$new'. Skipping operation." );
			return;
		}
		$is_dry = ! empty( $options['dry-run'] );
		$skipped_columns = explode( ',', $options['skip-columns'] ?? '' );
		$skipped_tables  = explode( ',', $options['skip-tables'] ?? '' );
		$tables          = empty( $options['all-tables-with-prefix'] )
			? array_values( $wpdb->tables( 'all' ) )
			: $wpdb->get_col( $wpdb->prepare( 'SHOW TABLES LIKE %s', $wpdb->esc_like( $wpdb->prefix ) . '%' ) );
		$rows            = array();
		$total           = 0;
		foreach ( array_diff( $tables, $skipped_tables ) as $table ) {
			list( $keys, $columns ) = columns_of( $table );
			if ( ! $keys ) {
				WP_CLI::warning( "No primary keys for table '$table'." );
				continue;
			}
			foreach ( array_diff( $columns, $skipped_columns ) as $column ) {
				list( $count, $type ) = replace_in( $table, $column, $keys, $old, $new, $is_dry, ! empty( $options['precise'] ) );
				$total               += $count;
				if ( $count || empty( $options['report-changed-only'] ) ) {
					$rows[] = array( 'Table' => $table, 'Column' => $column, 'Replacements' => $count, 'Type' => $type );
				}
			}
		}
		if ( 'count' === ( $options['format'] ?? 'table' ) ) {
			WP_CLI::line( $total );
			return;
		}
		show( $rows, array( 'Table', 'Column', 'Replacements', 'Type' ), array() );
		$replacements = "$total replacement" . ( 1 === $total ? '' : 's' );
		$is_dry ? WP_CLI::success( "$replacements to be made." ) : WP_CLI::success( "Made $replacements." );
	}
);

/** @return array{string[], string[]} the primary key's columns, and those that hold text */
function columns_of( $table ) {
	global $wpdb;
	$keys = array();
	$text = array();
	foreach ( $wpdb->get_results( 'DESCRIBE ' . quoted( $table ) ) as $column ) {
		if ( 'PRI' === $column->Key ) {
			$keys[] = $column->Field;
		}
		if ( preg_match( '/text|char/i', $column->Type ) ) {
			$text[] = $column->Field;
		}
	}
	return array( $keys, $text );
}

function quoted( $name ) {
	return '`' . str_replace( '`', '``', $name ) . '`';
}

/** @return array{int, string} cells changed, or to be changed; PHP when a value was looked into, else SQL */
function replace_in( $table, $column, array $keys, $old, $new, $is_dry, $is_precise ) {
	global $wpdb;
	$like  = '%' . $wpdb->esc_like( $old ) . '%';
	$names = implode( ', ', array_map( __NAMESPACE__ . '\quoted', $keys ) );
	$found = $wpdb->get_results(
		$wpdb->prepare( 'SELECT ' . $names . ', ' . quoted( $column ) . ' AS homeport_value FROM ' . quoted( $table ) . ' WHERE ' . quoted( $column ) . ' LIKE BINARY %s', $like ),
		ARRAY_A
	);
	$count = 0;
	$type  = $is_precise ? 'PHP' : 'SQL';
	foreach ( $found as $row ) {
		$value = $row['homeport_value'];
		$type  = is_serialized( $value ) ? 'PHP' : $type;
		$made  = replaced( $value, $old, $new );
		if ( $made === $value ) {
			continue;
		}
		++$count;
		if ( ! $is_dry ) {
			$wpdb->update( $table, array( $column => $made ), array_intersect_key( $row, array_flip( $keys ) ) );
		}
	}
	return array( $count, $type );
}

function replaced( $value, $old, $new ) {
	if ( is_string( $value ) ) {
		// Objects are not made: one of a site could run code. They are looked at as text with lengths, and left alone.
		$inner = is_serialized( $value ) ? @unserialize( $value, array( 'allowed_classes' => false ) ) : false;
		if ( false !== $inner && ! has_object( $inner ) ) {
			return serialize( replaced( $inner, $old, $new ) );
		}
		return false === $inner ? str_replace( $old, $new, $value ) : $value;
	}
	return is_array( $value ) ? array_map( static fn( $each ) => replaced( $each, $old, $new ), $value ) : $value;
}

function has_object( $value ) {
	return is_object( $value ) || ( is_array( $value ) && array_filter( $value, __NAMESPACE__ . '\has_object' ) );
}
