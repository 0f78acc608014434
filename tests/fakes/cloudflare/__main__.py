"""`python -m tests.fakes.cloudflare`: an account to look at (demo.py), until the process is ended.

Prints one line of JSON when it answers: the settings of a portal that finds it. Ends when its standard input does, so
also when whoever started it is killed.
"""

from __future__ import annotations

import json
import sys

from tests.fakes.cloudflare import CloudflareFake, nameserver
from tests.fakes.cloudflare.demo import ELSEWHERE, JAPANESE, SAMPLE, furnish


def main() -> int:
    with CloudflareFake(zones=[SAMPLE, JAPANESE]) as cf, nameserver.serving(cf.state, ELSEWHERE) as port:
        settings = furnish(cf) | {"HOMEPORT_PORTAL_DNS_RESOLVERS": f"127.0.0.1:{port}"}
        print(json.dumps(settings), flush=True)
        sys.stdin.buffer.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
