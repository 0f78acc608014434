"""The final refusals: the only answers that make the Worker reject a message. The table of wire.md, "Answer".

Pure. A `Problem` that isn't one of these is undecided for the Worker: it retains the message, or lets the sender
repeat. Whoever raises one adds `message_id=...`, without which the Worker does not believe it. On a drain
(`Homeport-Retained-At`) nobody is left to hear a refusal: the caller turns it into `hold`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from kit.problem import Problem


class FinalRefusal(Problem):
    """A problem that the sender gets to hear, as `<smtp_code> <smtp_enhanced> <smtp_text>`.

    smtp_text   ASCII without line ends, safe to show to a stranger: it names no mailbox, score or setting
    """

    smtp_code: ClassVar[int]
    smtp_enhanced: ClassVar[str]
    smtp_text: ClassVar[str]

    def document(self) -> dict[str, Any]:
        smtp = {"code": self.smtp_code, "enhanced": self.smtp_enhanced, "text": self.smtp_text}
        return super().document() | {"smtp": smtp}


class UnknownMailbox(FinalRefusal):
    """The transport says that the mailbox does not exist, and the sentinel is known."""

    status, type, title = 404, "unknown-mailbox", "No such mailbox"
    smtp_code, smtp_enhanced, smtp_text = 550, "5.1.1", "Mailbox does not exist"


class TooLarge(FinalRefusal):
    """The message is over the size limit."""

    status, type, title = 413, "too-large", "Message too large"
    smtp_code, smtp_enhanced, smtp_text = 552, "5.3.4", "Message is larger than 25 MiB"


class BadAddress(FinalRefusal):
    """An envelope address has control characters, is over-long, or has no usable domain or local part."""

    status, type, title = 422, "bad-address", "Address cannot be used"
    smtp_code, smtp_enhanced, smtp_text = 553, "5.1.3", "Address is not valid"


class MailLoop(FinalRefusal):
    """The message carries more than 100 Received fields (RFC 5321 6.3)."""

    status, type, title = 422, "mail-loop", "Message is looping"
    smtp_code, smtp_enhanced, smtp_text = 554, "5.4.6", "Too many hops, mail loop suspected"


class ContentRefused(FinalRefusal):
    """A scanner found a virus, or spam at the reject score."""

    status, type, title = 422, "content-refused", "Content refused"
    smtp_code, smtp_enhanced, smtp_text = 554, "5.7.1", "Message content refused"


class MailboxFull(FinalRefusal):
    """The mailbox is over quota, and the setting says that this is final."""

    status, type, title = 507, "mailbox-full", "Mailbox is full"
    smtp_code, smtp_enhanced, smtp_text = 552, "5.2.2", "Mailbox is full"
