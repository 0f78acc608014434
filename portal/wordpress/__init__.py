"""The WordPress room: what the sites are, what runs in them, and every act on one that has a way back."""
