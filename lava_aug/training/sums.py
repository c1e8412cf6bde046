"""A synapse's sum with weights that move: `Synapse.accumulate` for batches in torch, differentiable in both factors.

Each form is registered by the exact class of the synapse. Types without one are computed as sparse matrices.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lava_aug.core.layers import Conv, ConvTranspose, Dense, Relay, Scale, Shape, Sparse, SumPool, Synapse
from lava_aug.core.sliding import like, maps
from lava_aug.core.spec import entered


class Sum(nn.Module):
    """The sum of a synapse on spikes ``(B, *shape)``, for any weights of the shape that its own have."""

    def __init__(self, synapse: Any) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        self.synapse = synapse

    def forward(self, s: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Input currents of spikes."""
        raise NotImplementedError

    def largest(self, weight: torch.Tensor) -> torch.Tensor:
        """A bound on the sum of ``|weight|`` into one neuron, as a tensor without axes."""
        return weight.abs().flatten(1).sum(1).amax()


SUMS: dict[type[Synapse], Callable[[Any], Sum]] = {}


def sum_of(synapse: Synapse, wide: Shape) -> tuple[Sum, torch.Tensor]:
    """The sum of a synapse on spikes of shape ``wide``, and the weights that it has, in float64."""
    if type(synapse) not in SUMS:
        synapse = Sparse.from_map(synapse.matrix(wide), synapse.output_shape(wide))
    return SUMS[type(synapse)](synapse), torch.tensor(synapse.weights.astype(np.float64))


@entered(SUMS, Dense)
class _Dense(Sum):
    def forward(self, s: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.linear(self.synapse.summed_axis_last(s), weight)


def _convolved(synapse: Conv | SumPool, x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    return F.conv2d(x, weight, None, synapse.stride, synapse.padding, synapse.dilation, groups)


@entered(SUMS, Conv)
class _Conv(Sum):
    def forward(self, s: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return like(_convolved(self.synapse, maps(s), weight, self.synapse.groups), s)


@entered(SUMS, ConvTranspose)
class _ConvTranspose(Sum):
    def forward(self, s: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        conv = self.synapse
        geometry = (conv.stride, conv.padding, conv.output_padding, conv.groups, conv.dilation)
        return like(F.conv_transpose2d(maps(s), weight, None, *geometry), s)

    def largest(self, weight: torch.Tensor) -> torch.Tensor:
        return self.synapse.by_group(weight).abs().sum((1, 3, 4)).amax()


@entered(SUMS, Scale)
class _Scale(Sum):
    def forward(self, s: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        scale, product = self.synapse, s * self.synapse.shaped(weight, s.ndim - 1)
        behind = scale.out_channels - scale.end
        if not scale.offset and not behind:
            return product
        return F.pad(product, [0, 0] * (s.ndim - 2) + [scale.offset, behind])

    def largest(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.abs().amax()


@entered(SUMS, Sparse)
class _Sparse(Sum):
    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(self, synapse: Sparse) -> None:
        super().__init__(synapse)
        for name, indices in zip(("rows", "columns"), synapse.indices(), strict=True):
            self.register_buffer(name, torch.tensor(indices), persistent=False)
        self.size = int(np.prod(synapse.shape))

    def forward(self, s: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        products = s.flatten(1)[:, self.columns] * weight
        sums = products.new_zeros((len(s), self.size)).index_add(1, self.rows, products)
        return sums.reshape(len(s), *self.synapse.shape)

    def largest(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.new_zeros(self.size).index_add(0, self.rows, weight.abs()).amax()


@entered(SUMS, Relay)
class _Relay(Sum):
    def forward(self, s: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return s

    def largest(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.amax()


@entered(SUMS, SumPool)
class _SumPool(Sum):
    def forward(self, s: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        pool, x = self.synapse, maps(s)
        if pool.dilation == (1, 1) and all(2 * p <= k for p, k in zip(pool.padding, pool.window, strict=True)):
            return like(F.avg_pool2d(x, pool.window, pool.stride, pool.padding, divisor_override=1), s)
        ones = weight.expand(x.shape[1], 1, *pool.window)
        return like(_convolved(pool, x, ones, x.shape[1]), s)

    def largest(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.new_tensor(self.synapse.weight_sum)
