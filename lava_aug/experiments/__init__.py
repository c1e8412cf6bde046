"""Conversions measured: against the model, against each other, over resolutions, steps and whole test sets."""
