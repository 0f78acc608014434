"""Acts that span rooms: one plan, steps with their undo, each in the room that owns the thing."""
