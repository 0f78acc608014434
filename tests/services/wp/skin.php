<?php

namespace Stand_In;

class Quiet_Skin extends \WP_Upgrader_Skin {
	private $problems = array();

	public function header() {}

	public function footer() {}

	public function feedback( $feedback, ...$args ) {}

	public function error( $errors ) {
		$texts          = is_wp_error( $errors ) ? $errors->get_error_messages() : array( (string) $errors );
		$this->problems = array_merge( $this->problems, $texts );
	}

	public function problem() {
		return implode( ' ', $this->problems );
	}

	public function request_filesystem_credentials( $error = false, $context = '', $allow_relaxed_file_ownership = false ) {
		return true;
	}

	protected function decrement_update_count( $type ) {}
}
