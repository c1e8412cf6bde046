from enum import Enum
from typing import Any

from numpy.typing import NDArray

class SignMode(Enum):
    MIXED = 1
    NULL = 0
    EXCITATORY = 2
    INHIBITORY = 3

def determine_sign_mode(weights: NDArray[Any]) -> SignMode: ...
def clip_weights(weights: NDArray[Any], sign_mode: SignMode, num_bits: int) -> NDArray[Any]: ...
def truncate_weights(
    weights: NDArray[Any], sign_mode: SignMode, num_weight_bits: int, max_num_weight_bits: int = 8
) -> NDArray[Any]: ...
