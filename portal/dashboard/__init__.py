"""Above the rooms: what they measured of themselves, and how this portal is set up."""
