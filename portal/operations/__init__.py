"""Acts that take time: recorded before they begin, one per target, followed live, closed whatever happens.

`runner.py` starts, cancels and recovers them; `progress.py` is what a work function sees of it; `records.py` holds the
statements. `hub.py` is the event stream that every room publishes on; `plans.py` is plan -> apply -> undo; `routes.py`
and `commands.py` are the room.
"""
