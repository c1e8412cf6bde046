"""HDF5 files in the layout of netx: ours, lava-dl's, and Sigma-Delta networks.

The public names, of networks that stock netx runs, are those of ``__init__.pyi``, imported when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
