"""Trained networks, data sets from disk, a small network on digits, and the demo."""
