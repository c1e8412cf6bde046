"""How PyTorch operations are converted: every handler that registers itself by `converts`, in the table `OPERATIONS`.

What is not in it is a `ConversionError` that names the module and the operation, with advice. A new module of handlers
is imported here.
"""

from lava_aug.conversion import elementwise, pooling_operations, rearrangement, weighted_operations
from lava_aug.conversion.steps import OPERATIONS

__all__ = ["OPERATIONS", "elementwise", "pooling_operations", "rearrangement", "weighted_operations"]
