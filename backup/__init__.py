"""Backup: verbs over a format.

A night: lock -> stage sources into `.partial-` -> manifest, state, signature -> read back -> seal by one rename ->
retention with reasons -> restic -> vault: upload, extend, read back, seal -> catalog -> notify -> exit code.
"""
