"""Is it the same everywhere, and does it fit: the specification as written, verification, plans, limits of Loihi 2."""
