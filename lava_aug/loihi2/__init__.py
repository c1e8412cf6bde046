"""Whether a network fits on Loihi 2, as far as its limits are public."""
