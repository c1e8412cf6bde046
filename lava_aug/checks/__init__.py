"""Does everything agree, and does it fit: the literal specification, verification, plans, limits of Loihi 2."""
