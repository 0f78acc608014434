"""Plugins and themes that tests invent, sound ones and such as break a site. Pure: files by name.

plugin("quay-forms", "1.1.0")                      # says its version in every page
plugin("quay-forms", "1.2.0", how="fatal")         # PHP dies while it is loaded, on every page and in wp
plugin("quay-forms", "1.2.0", how="migrates-then-500")
                                                   # changes the database the first time it runs, and pages are 500
plugin("quay-forms", "1.2.0", how="slow")          # every page takes SLOW_S
plugin("quay-forms", "1.2.0", how="unparsable")    # a syntax error
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

How = Literal["good", "fatal", "unparsable", "migrates-then-500", "slow"]
SLOW_S = 6

_HEAD = """\
<?php
/*
 * Plugin Name: NAME
 * Description: Made up for tests.
 * Version: VERSION
 * Author: Nobody
 */
add_action( 'wp_footer', function () {
    echo '<!-- SLUG VERSION -->';
} );
"""

# A migration as plugins do it: by a version of its own in an option, when any request first runs the new code.
_MIGRATES = """\
add_action( 'init', function () {
    global $wpdb;
    if ( 'VERSION' !== get_option( 'TABLE_version' ) ) {
        $table = "{$wpdb->prefix}TABLE";
        $wpdb->query( "CREATE TABLE IF NOT EXISTS $table ( id int AUTO_INCREMENT PRIMARY KEY, entry text )" );
        $wpdb->query( "INSERT INTO $table ( entry ) VALUES ( 'migrated' )" );
        $wpdb->query( "UPDATE {$wpdb->posts} SET post_content = CONCAT( post_content, ' [SLUG VERSION]' )" );
        update_option( 'TABLE_version', 'VERSION' );
    }
} );
add_action( 'template_redirect', function () {
    status_header( 500 );
    echo 'SLUG could not read its own table.';
    exit;
} );
"""

_BREAKS: Mapping[How, str] = {
    "good": "",
    "fatal": "TABLE_that_nobody_defined();\n",
    "unparsable": "function TABLE_broken( {\n",
    "migrates-then-500": _MIGRATES,
    "slow": f"add_action( 'template_redirect', function () {{ sleep( {SLOW_S} ); }} );\n",
}


def plugin(slug: str, version: str, how: How = "good") -> dict[str, bytes]:
    """Return its files, names relative to its directory."""
    return {
        f"{slug}.php": _filled(_HEAD + _BREAKS[how], slug, version),
        "readme.txt": f"=== {slug} ===\nStable tag: {version}\n".encode(),
    }


def theme(slug: str, version: str, how: How = "good") -> dict[str, bytes]:
    """Return the files of a child theme of twentytwentyfive. A theme migrates nothing."""
    if how == "migrates-then-500":
        raise ValueError("a theme that migrates is a plugin")
    head = f"/*\nTheme Name: {slug}\nTemplate: twentytwentyfive\nVersion: {version}\n*/\n"
    footer = "<?php\nadd_action( 'wp_footer', function () { echo '<!-- SLUG VERSION -->'; } );\n"
    return {"style.css": head.encode(), "functions.php": _filled(footer + _BREAKS[how], slug, version)}


def marker(slug: str, version: str) -> str:
    """What a page of a site says in which this version runs."""
    return f"<!-- {slug} {version} -->"


def _filled(text: str, slug: str, version: str) -> bytes:
    name = slug.replace("-", " ").title()
    filled = text.replace("TABLE", slug.replace("-", "_")).replace("SLUG", slug).replace("VERSION", version)
    return filled.replace("NAME", name).encode()
