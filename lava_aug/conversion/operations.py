"""How PyTorch operations are converted: one handler each, in three tables (`MODULES`, `FUNCTIONS`, `METHODS`).

What is in none of the tables is a `ConversionError` that names the module and the operation, with advice.
"""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lava_aug.conversion.elementwise import (
    absolute,
    add,
    clamp,
    divide,
    hardtanh,
    leaky_relu,
    maximum,
    minimum,
    multiply,
    negative,
    prelu,
    relu,
    relu6,
    reverse_subtract,
    rrelu,
    subtract,
    threshold,
)
from lava_aug.conversion.float_layers import Signal
from lava_aug.conversion.pooling_operations import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    max_pool,
    maxima,
    mean,
    total,
)
from lava_aug.conversion.rearrangement import (
    attribute,
    cast,
    concatenate,
    dropout,
    identity,
    interpolate,
    item,
    rearrange,
    upsample,
)
from lava_aug.conversion.steps import Handler, Step
from lava_aug.conversion.weighted_operations import (
    batch_norm,
    batch_norm_function,
    conv_transpose,
    conv_transpose_function,
    convolution,
    convolution_function,
    linear,
    linear_function,
    matmul,
)

_POOLING = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")


def _options(module: nn.Module, *names: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names}


def _avg_pool1d(step: Step, m: nn.AvgPool1d, x: Signal) -> Signal:
    return avg_pool(step, x, **_options(m, *_POOLING))


def _avg_pool2d(step: Step, m: nn.AvgPool2d, x: Signal) -> Signal:
    return avg_pool(step, x, **_options(m, *_POOLING, "divisor_override"))


def _max_pool(step: Step, m: Any, x: Signal) -> Signal:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    return max_pool(step, x, **_options(m, *names))


MODULES: dict[Any, Handler] = {
    nn.Linear: linear,
    nn.Conv1d: convolution,
    nn.Conv2d: convolution,
    nn.ConvTranspose1d: conv_transpose,
    nn.ConvTranspose2d: conv_transpose,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.SyncBatchNorm: batch_norm,
    nn.ReLU: lambda step, m, x: relu(step, x),
    nn.ReLU6: lambda step, m, x: relu6(step, x),
    nn.Hardtanh: lambda step, m, x: hardtanh(step, x, m.min_val, m.max_val),
    nn.LeakyReLU: lambda step, m, x: leaky_relu(step, x, m.negative_slope),
    nn.PReLU: lambda step, m, x: prelu(step, x, m.weight),
    nn.RReLU: lambda step, m, x: rrelu(step, x, m.lower, m.upper),
    nn.Threshold: lambda step, m, x: threshold(step, x, m.threshold, m.value),
    nn.AvgPool1d: _avg_pool1d,
    nn.AvgPool2d: _avg_pool2d,
    nn.AdaptiveAvgPool1d: lambda step, m, x: adaptive_avg_pool(step, x, m.output_size),
    nn.AdaptiveAvgPool2d: lambda step, m, x: adaptive_avg_pool(step, x, m.output_size),
    nn.MaxPool1d: _max_pool,
    nn.MaxPool2d: _max_pool,
    nn.AdaptiveMaxPool1d: lambda step, m, x: adaptive_max_pool(step, x, m.output_size, m.return_indices),
    nn.AdaptiveMaxPool2d: lambda step, m, x: adaptive_max_pool(step, x, m.output_size, m.return_indices),
    nn.Upsample: upsample,
    nn.UpsamplingNearest2d: upsample,
    **dict.fromkeys((nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle), rearrange),
    **dict.fromkeys((nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d), rearrange),
    **dict.fromkeys((nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d), rearrange),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity), identity),
}

FUNCTIONS: dict[Any, Handler] = {
    **dict.fromkeys((F.conv1d, F.conv2d), convolution_function),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d), conv_transpose_function),
    F.linear: linear_function,
    **dict.fromkeys((torch.matmul, operator.matmul), matmul),
    F.batch_norm: batch_norm_function,
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_), relu),
    F.relu6: relu6,
    **dict.fromkeys((F.hardtanh, F.hardtanh_), hardtanh),
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_), leaky_relu),
    **dict.fromkeys((F.prelu, torch.prelu), prelu),
    **dict.fromkeys((F.rrelu, F.rrelu_), rrelu),
    **dict.fromkeys((F.threshold, torch.threshold, torch.threshold_), threshold),
    torch.maximum: maximum,
    torch.minimum: minimum,
    **dict.fromkeys((torch.clamp, torch.clip), clamp),
    torch.clamp_min: lambda step, x, min: clamp(step, x, min=min),
    torch.clamp_max: lambda step, x, max: clamp(step, x, max=max),
    **dict.fromkeys((torch.abs, operator.abs), absolute),
    **dict.fromkeys((torch.add, operator.add, operator.iadd), add),
    **dict.fromkeys((torch.sub, torch.subtract, operator.sub, operator.isub), subtract),
    torch.rsub: reverse_subtract,
    **dict.fromkeys((torch.mul, torch.multiply, operator.mul, operator.imul), multiply),
    **dict.fromkeys((torch.div, torch.true_divide, operator.truediv, operator.itruediv), divide),
    **dict.fromkeys((torch.neg, torch.negative, operator.neg), negative),
    **dict.fromkeys((F.avg_pool1d, F.avg_pool2d), avg_pool),
    **dict.fromkeys((F.adaptive_avg_pool1d, F.adaptive_avg_pool2d), adaptive_avg_pool),
    **dict.fromkeys((F.max_pool1d, F.max_pool2d, torch.max_pool1d, torch.max_pool2d), max_pool),
    **dict.fromkeys((F.adaptive_max_pool1d, F.adaptive_max_pool2d), adaptive_max_pool),
    torch.mean: mean,
    torch.sum: total,
    torch.amax: maxima,
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), concatenate),
    F.interpolate: interpolate,
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten), rearrange),
    **dict.fromkeys((torch.permute, torch.transpose, torch.swapaxes, torch.movedim, torch.flip, torch.roll), rearrange),
    **dict.fromkeys((torch.stack, torch.chunk, torch.split, torch.unbind, torch.narrow, torch.select), rearrange),
    **dict.fromkeys((torch.index_select, torch.repeat_interleave, torch.tile, torch.broadcast_to), rearrange),
    **dict.fromkeys((F.pad, F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle), rearrange),
    operator.getitem: item,
    getattr: attribute,
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d), dropout),
}

METHODS: dict[Any, Handler] = {
    **dict.fromkeys(("relu", "relu_"), relu),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), clamp),
    "clamp_min": lambda step, x, min: clamp(step, x, min=min),
    "clamp_max": lambda step, x, max: clamp(step, x, max=max),
    "abs": absolute,
    **dict.fromkeys(("add", "add_"), add),
    **dict.fromkeys(("sub", "sub_"), subtract),
    **dict.fromkeys(("mul", "mul_"), multiply),
    **dict.fromkeys(("div", "div_"), divide),
    "neg": negative,
    "mean": mean,
    "sum": total,
    "amax": maxima,
    "maximum": maximum,
    "minimum": minimum,
    "matmul": matmul,
    "prelu": prelu,
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "view_as"), rearrange),
    **dict.fromkeys(("permute", "transpose", "swapaxes", "movedim", "flip", "roll", "t"), rearrange),
    **dict.fromkeys(("chunk", "split", "unbind", "narrow", "select", "index_select"), rearrange),
    **dict.fromkeys(("expand", "repeat", "repeat_interleave", "tile"), rearrange),
    **dict.fromkeys(("contiguous", "clone", "detach", "cpu", "cuda"), identity),
    **dict.fromkeys(("float", "double", "half", "bfloat16", "to", "type", "type_as"), cast),
}
