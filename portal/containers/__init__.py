"""The containers room: what runs, how it is, what it says, and start, stop, restart. Asks the broker for everything."""
