#!/bin/sh
# One request on standard input, one answer on standard output (program/__main__.py).
exec python3 -I -B /usr/local/lib/homeport/site-files
