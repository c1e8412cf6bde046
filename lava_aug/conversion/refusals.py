"""Messages about unsupported operations, and how often each kind occurs."""

from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from lava_aug.conversion.nodes import class_name, where

GENERAL_ADVICE = "docs/conversion.md lists what is"

_USE_RELU = "train the network with ReLU instead"
_NO_SOFTMAX = (
    "it divides by a sum that depends on the image, and spikes only add up; it can only be left out as the last step"
)
_USE_BATCH_NORM = "its statistics depend on the image; use BatchNorm"
_NO_ATTENTION = (
    "attention multiplies values that depend on the image, and spikes only add up; use a convolutional network"
)
_NO_TIME = "the network must be feed-forward"

ADVICE: dict[Any, str] = {
    **dict.fromkeys((nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.ELU, nn.SELU, nn.CELU), _USE_RELU),
    **dict.fromkeys((nn.Softplus, nn.Softsign, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid, nn.GLU), _USE_RELU),
    **dict.fromkeys((F.gelu, F.silu, F.mish, F.sigmoid, F.tanh, F.elu, F.selu, F.softplus), _USE_RELU),
    **dict.fromkeys((F.hardswish, F.hardsigmoid, torch.sigmoid, torch.tanh, "sigmoid", "tanh"), _USE_RELU),
    **dict.fromkeys((nn.Softmax, nn.LogSoftmax, nn.Softmax2d, F.softmax, F.log_softmax), _NO_SOFTMAX),
    **dict.fromkeys((torch.softmax, torch.log_softmax, "softmax", "log_softmax"), _NO_SOFTMAX),
    **dict.fromkeys((nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d), _USE_BATCH_NORM),
    **dict.fromkeys((F.layer_norm, F.group_norm, F.instance_norm, F.normalize), _USE_BATCH_NORM),
    **dict.fromkeys((nn.MultiheadAttention, F.scaled_dot_product_attention), _NO_ATTENTION),
    torch.bmm: _NO_ATTENTION,
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), _NO_TIME),
}

_SOFTMAX = (nn.Softmax, nn.LogSoftmax, nn.Softmax2d, F.softmax, F.log_softmax, torch.softmax, torch.log_softmax)
_SIGMOID = (nn.Sigmoid, F.sigmoid, torch.sigmoid, "sigmoid", nn.LogSigmoid, F.logsigmoid)

AT_THE_END: dict[Any, str] = {
    **dict.fromkeys((*_SOFTMAX, "softmax", "log_softmax"), "remove it: the argmax of the logits is the same"),
    **dict.fromkeys(_SIGMOID, "remove it: the order of the logits is the same, and 1/2 becomes 0"),
}
"""For the last operation before an output."""


def advice(node: torch.fx.Node, key: Any) -> str:
    """What to do about an operation that is in none of the tables."""
    last = all(user.op == "output" for user in node.users)
    return (AT_THE_END.get(key) if last else None) or ADVICE.get(key, GENERAL_ADVICE)


class Refusals:
    """Errors about operations, those that say the same of many as one."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[str, str]]] = {}

    def add(self, node: torch.fx.Node, message: str) -> None:
        """What is wrong with an operation, in a sentence that begins with `where` it is."""
        module = node.meta.get("module")
        kind = class_name(type(module)) if module is not None else str(node.target)
        place = where(node)
        self.found.setdefault(kind + message.removeprefix(place), []).append((place, message.removeprefix(place)))

    def __str__(self) -> str:
        lines = [self._line(same) for same in self.found.values()]
        total = sum(map(len, self.found.values()))
        return lines[0] if total == 1 else f"{total} operations cannot be converted:\n- " + "\n- ".join(lines)

    def _line(self, same: list[tuple[str, str]]) -> str:
        place, message = same[0]
        return f"{place}{f' and {len(same) - 1} more like it' if len(same) > 1 else ''}{message}"
