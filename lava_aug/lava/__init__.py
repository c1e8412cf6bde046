"""Lava: importing it, and running networks on it."""
