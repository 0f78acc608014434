"""Make, move, keep and measure the trees of sites: the one program of blog-site-files.

One JSON object on standard input, one on standard output: {"ok": true, ...} and exit code 0, or {"error": code,
"detail": text} and 1. The broker writes the input (portal/broker/site_files.py); what it says is checked here again.
Runs as root with the rights to give files away and to read them all, so it follows no link and opens nothing by a path
of several parts: a site's own tree is as hostile as an archive.

    create   a new tree with WordPress and its secrets     keep      copy a plugin or theme aside
    import   an archive in the place of that WordPress     put-back  bring it back
    remove   the tree goes to .removed/, nothing is lost   forget    drop what was kept
    bring-back   what remove has put there under this id   measure   count files and bytes
    secrets  write parts of private/ anew

A tree: /srv/sites/SITE (root, 0711) with public/ (2750, the site's user and the web server's group), private/, tmp/ and
kept/ (0700, the site's). It appears complete or not at all. Each action can be killed at any point and run again.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Any

import actions
import request
from failures import Failure

MAX_INPUT = 64 * 1024


def main() -> int:
    os.umask(0o077)
    try:
        answer = actions.do(request.parse(sys.stdin.buffer.read(MAX_INPUT + 1), MAX_INPUT))
    except Failure as failure:
        return _say({"error": failure.code, "detail": str(failure)}, 1)
    except OSError as error:
        code = "full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "failed"
        return _say({"error": code, "detail": error.strerror or "an error of the system"}, 1)
    except RecursionError:
        return _say({"error": "unsafe", "detail": "directories lie too deep"}, 1)
    return _say({"ok": True, **answer}, 0)


def _say(document: dict[str, Any], exit_code: int) -> int:
    sys.stdout.write(json.dumps(document) + "\n")
    return exit_code


if __name__ == "__main__":
    raise SystemExit(main())
