"""Lava: importing it, running networks on it, and watching over the processes that it starts."""
