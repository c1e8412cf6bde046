"""More small models, as `operation_models` has: functions for modules, and axes of length 1."""

from typing import Any

import torch
import torch.nn.functional as F
from operation_models import case, hidden, on_all, on_maps
from torch import nn


def normed(m: Any, x: Any) -> Any:
    """A batch normalisation whose numbers are handed over one by one."""
    norm = m.norm
    numbers = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    return m.again(F.relu(F.batch_norm(m.conv(x), *numbers, training=m.training, eps=norm.eps)))


def squeezed(m: Any, x: Any) -> Any:
    """One number for each image, on the way."""
    return m.last(F.relu(m.one(x.flatten(1)).squeeze(1) + 0.1).unsqueeze(1))


FUNCTIONS = {
    "batch_norm": case(normed),
    "prelu": case(lambda m, x: m.again(F.prelu(m.conv(x), m.it.weight)), it=lambda: nn.PReLU(4, init=-0.3)),
    "rrelu": case(lambda m, x: m.again(F.rrelu(m.conv(x), 0.1, 0.4, training=m.training))),
    "nn.RReLU": case(lambda m, x: m.again(m.it(m.conv(x))), it=nn.RReLU),
    "threshold": case(lambda m, x: m.again(F.threshold(m.conv(x), 0.1, 0.1))),
    "nn.Threshold": case(lambda m, x: m.again(m.it(m.conv(x))), it=lambda: nn.Threshold(0, 0)),
    "nn.SyncBatchNorm": case(lambda m, x: m.again(m.it(m.conv(x))), it=lambda: nn.SyncBatchNorm(4)),
    "conv_transpose2d": case(
        lambda m, x: m.last(F.relu(F.conv_transpose2d(x, m.it.weight, m.it.bias, (1, 2), 1, groups=2))),
        it=lambda: nn.ConvTranspose2d(2, 4, (3, 4), groups=2),
        last=lambda: nn.LazyConv2d(3, 2),
    ),
    "conv_transpose1d": case(
        lambda m, x: m.last(F.relu(F.conv_transpose1d(x, m.it.weight, stride=2, output_padding=1))),
        *(3, 9),
        it=lambda: nn.ConvTranspose1d(3, 4, 3),
        last=lambda: nn.Conv1d(4, 2, 2),
    ),
    "matmul": case(
        lambda m, x: torch.matmul(F.relu(m.conv(x) @ m.it.weight.T), m.back.weight),
        it=lambda: nn.Linear(7, 5),
        back=lambda: nn.Linear(3, 5),
    ),
    "maximum": case(lambda m, x: m.again(torch.maximum(m.conv(x), m.other(x)))),
    "minimum": case(lambda m, x: m.again(torch.minimum(m.conv(x), m.other(x)))),
    "maximum with a constant": case(lambda m, x: m.again(m.conv(x).maximum(torch.tensor(0.1)))),
    "amax": on_all(lambda m, y: y.amax((2, 3))),
    "amax, kept": case(lambda m, x: m.again(m.conv(x) - hidden(m, x).amax(dim=(2, 3), keepdim=True))),
    "data": on_maps(lambda y: y.data.mT),
    "zeros": on_maps(lambda y: torch.cat([y, torch.zeros_like(y), y.new_ones(y.shape)], 1)),
    "number formats": on_maps(lambda y: y.double().to(torch.float32).type_as(y)),
}

SHAPES = {
    "linear on one row": case(
        lambda m, x: m.last(F.relu(m.it(x)).transpose(1, 2)),
        *(1, 6),
        it=lambda: nn.Linear(6, 5),
        last=lambda: nn.Conv1d(5, 3, 1),
    ),
    "linear on one row of one channel": case(
        lambda m, x: m.last(F.relu(m.it(x))),
        *(1, 1, 6),
        it=lambda: nn.Linear(6, 5),
        last=lambda: nn.Conv2d(1, 3, (1, 2)),
    ),
    "one number on the way": case(squeezed, one=lambda: nn.Linear(70, 1), last=lambda: nn.Linear(1, 3)),
    "one number as the output": case(
        lambda m, x: m.last(hidden(m, x).flatten(1)).squeeze(1), last=lambda: nn.LazyLinear(1)
    ),
    "differences of numbers": case(lambda m, x: (y := hidden(m, x).flatten(1))[:, 3] * 2 - y[:, 5]),
    "sum of all": case(lambda m, x: hidden(m, x).sum((1, 2, 3))),
    "wider than its map": case(
        lambda m, x: m.again(F.relu(m.it(x))), *(2, 3, 4), it=lambda: nn.Conv2d(2, 4, 3, padding=6, dilation=6)
    ),
    "sizes as numbers": on_maps(
        lambda y: y[:, : int(y.size(1) / 2)].expand(y.size(0), -1, y.shape[2], len(y[0, 0, 0]))
    ),
}

CASES = {
    **{f"function: {name}": found for name, found in FUNCTIONS.items()},
    **{f"shape: {name}": found for name, found in SHAPES.items()},
}
