"""Deploy trained PyTorch networks as augmented-spike networks on Intel's Lava.

The public names are those of ``__init__.pyi``. They are imported when they are first used, so that importing this
package imports neither torch nor Lava.
"""

import lazy_loader

__version__ = "0.1.0"

# A public function never bears the name of a module beside it: importing the module would hide the function.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
