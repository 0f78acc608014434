"""Real daemons for tests: each in a fresh directory, on free ports of 127.0.0.1, gone when its context ends.

Ready means that the protocol answered within a deadline. A daemon is ended by its process session, never by name, and
its end is waited for. `fixtures.py` offers them to pytest.
"""
