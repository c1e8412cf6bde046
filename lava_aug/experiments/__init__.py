"""Measuring conversions: against the model, against each other, over resolutions, steps and whole test sets."""
