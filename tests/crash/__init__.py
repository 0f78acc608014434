"""The crash table of docs/design/spool.md, asserted: the real processes die, or meet an error, at every step."""
