"""A chain of Lava Processes, one of which can be told to go wrong."""
