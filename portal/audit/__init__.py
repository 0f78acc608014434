"""Who did what, when, from where, to what, with what result: append-only and hash-chained.

    record(session, actor, "ui:containers:restart", "blog-nginx", Result.ACCEPTED, operation_id=operation.id)

`chain.py` writes and verifies; `service.py` searches and exports; `routes.py` and `commands.py` are the room.
"""

from portal.audit.chain import Broken, Result, record, record_now, verify

__all__ = ["Broken", "Result", "record", "record_now", "verify"]
