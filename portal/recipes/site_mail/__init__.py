"""The mail that sites send: an account for each, configured in bulk, proved by a message that arrives."""
