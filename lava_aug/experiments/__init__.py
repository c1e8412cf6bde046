"""Measuring conversions: against the model, against each other, over resolutions, steps and whole test sets."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
