"""A real Rspamd: one worker that answers `/checkv2` by HTTP, without Redis, DNS, maps or Debian's rules.

    with Rspamd() as rspamd:
        ...                         # post to rspamd.url

Its own test patterns (`pattern`) bring about every action that a score can. Two rules are ours: SEEN, without weight,
shows in its options what it was told of the envelope and the client; ASKED_FOR does what a message's header field
`X-Test-Action` says, which is how soft reject, greylist and the like come about. A message with `X-Test-Milter` gets a
header field from it whose value quotes that one, as symbols quote subjects and addresses.

Everything lies in one fresh directory. Run by root, it uses Debian's account `_rspamd`; run by anybody else, theirs.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from tests.services.process import Daemon, Server, free_port

ANSWER_S = 5.0
REJECT_SCORE, MARK_SCORE = 15.0, 6.0
_ACCOUNT = "_rspamd"
_PATTERNS = {"reject": b"X", "add header": b"Y", "rewrite subject": b"Z", "no action": b"A"}


def pattern(action: str = "reject") -> bytes:
    """The line by which a message asks Rspamd for this action. Put together here: no file of ours holds one."""
    return _PATTERNS[action] + b"JS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-" + b"UBE-TEST-EMAIL*C.34X"


class Rspamd(Server):
    """One Rspamd in a directory of its own, the same port for as long as the object lives.

    max_message_bytes   larger ones are refused by it
    """

    def __init__(self, *, max_message_bytes: int = 50 * 1024**2) -> None:
        self.port = free_port()
        self.max_message_bytes = max_message_bytes
        self.directory = Path(tempfile.mkdtemp(prefix="rspamd-"))
        (self.directory / "tld").write_text("com\norg\nnet\ntest\nexample\n")  # the real list takes 10 s to compile
        (self.directory / "rules.lua").write_text(_RULES)
        (self.directory / "rspamd.conf").write_text(_configuration(self))
        account: list[str] = []
        if os.geteuid() == 0:
            account = ["-u", _ACCOUNT, "-g", _ACCOUNT]
            shutil.chown(self.directory, _ACCOUNT, _ACCOUNT)
        self.daemon = Daemon(
            ["rspamd", "-f", *account, "-c", str(self.directory / "rspamd.conf")],
            ready=self._answers,
            log=self.directory / "log",
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def check(self, message: bytes, **headers: str) -> dict[str, Any]:
        """Ask it directly; return its answer."""
        request = urllib.request.Request(f"{self.url}/checkv2", message, headers)
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            document: dict[str, Any] = json.load(answer)
        return document

    def _answers(self) -> None:
        with urllib.request.urlopen(f"{self.url}/ping", timeout=ANSWER_S) as answer:
            if answer.read().strip() != b"pong":
                raise OSError("it is no Rspamd")


def _configuration(rspamd: Rspamd) -> str:
    place = rspamd.directory
    return f"""
options {{
  url_tld = "{place}/tld";
  tempdir = "{place}";
  hs_cache_dir = "{place}";
  cache_file = "{place}/symbols.cache";
  control_socket = "{place}/control mode=0600";
  max_message = {rspamd.max_message_bytes};
  disable_hyperscan = true;
  filters = "";
  local_addrs = [];
  gtube_patterns = "all";
  enable_test_patterns = true;
  dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 0; }}
}}
logging {{ type = "console"; level = "warning"; color = false; }}
worker "normal" {{ bind_socket = "127.0.0.1:{rspamd.port}"; count = 2; mime = true; }}
actions {{ reject = {REJECT_SCORE}; "rewrite subject" = 10; "add header" = {MARK_SCORE}; greylist = null; }}
lua = "{place}/rules.lua";
modules {{ path = "/usr/share/rspamd/plugins/milter_headers.lua"; }}
milter_headers {{
  use = ["x-spam-status", "authentication-results", "x-spamd-bar"];
  skip_local = false;
  skip_authenticated = false;
}}
"""


_RULES = """
rspamd_config:register_symbol{
  name = 'SEEN', type = 'normal', score = 0.0,
  callback = function(task)
    local from, rcpt = task:get_from('smtp'), task:get_recipients('smtp')
    return true, 1.0, {
      'ip=' .. tostring(task:get_ip()), 'helo=' .. tostring(task:get_helo()),
      'from=' .. (from and from[1].addr or ''), 'rcpt=' .. (rcpt and rcpt[1].addr or ''),
      'queue=' .. tostring(task:get_queue_id()),
    }
  end
}
rspamd_config:register_symbol{
  name = 'ASKED_FOR', type = 'normal', score = 7.5,
  callback = function(task)
    local action = task:get_header('X-Test-Action')
    local quoted = task:get_header('X-Test-Milter')
    if quoted then
      task:set_milter_reply({add_headers = {['X-Spam-Quoted'] = 'a ' .. quoted .. '\\r\\nX-Spam: No\\r\\n\\r\\nbody'}})
    end
    if action == 'score' then
      return true, 1.0
    elseif action then
      task:set_pre_result(action, 'asked for')
    end
    return false
  end
}
"""
