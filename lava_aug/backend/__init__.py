"""Lava: importing it, running networks on it, and supervising the processes that it starts."""
