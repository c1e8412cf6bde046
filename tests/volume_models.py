"""Models of volumes ``(channels, depth, height, width)``, as of videos: a stem, what is remarkable, and a head."""

from collections.abc import Callable

from real_models import Table
from torch import nn

SHAPE = (2, 5, 6, 7)


def volumes(*modules: nn.Module, channels: int = 4) -> tuple[Callable[[], nn.Module], tuple[int, ...]]:
    """Modules that take four channels of rectified neurons, and a convolution on what they give."""
    stem = nn.Conv3d(2, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU()
    return lambda: nn.Sequential(*stem, *modules, nn.ReLU(), nn.Conv3d(channels, 3, 1)), SHAPE


VOLUMES: Table = {
    "convolution": volumes(
        nn.Conv3d(4, 6, (2, 3, 2), stride=(2, 1, 2), padding=(1, 0, 1), dilation=(1, 2, 1)),
        nn.BatchNorm3d(6),
        channels=6,
    ),
    "groups": volumes(nn.Conv3d(4, 6, (2, 3, 2), padding=1, groups=2), channels=6),
    "slices alone": volumes(nn.Conv3d(4, 6, (1, 3, 2), padding=(0, 1, 1), groups=2, bias=False), channels=6),
    "along the depth": volumes(nn.Conv3d(4, 6, (3, 1, 1), padding=(1, 0, 0)), channels=6),
    "reflect": volumes(nn.Conv3d(4, 4, 3, padding=(1, 2, 1), padding_mode="reflect")),
    "same": volumes(nn.Conv3d(4, 4, (3, 1, 5), padding="same")),
    "transposed": volumes(
        nn.ConvTranspose3d(4, 6, (2, 3, 2), stride=(2, 1, 2), padding=(1, 0, 1), output_padding=(1, 0, 1)), channels=6
    ),
    "transposed, dilated, groups": volumes(nn.ConvTranspose3d(4, 6, 2, dilation=(2, 1, 3), groups=2), channels=6),
    "transposed, slices alone": volumes(nn.ConvTranspose3d(4, 6, (1, 2, 2), stride=(1, 2, 2)), channels=6),
    "averages": volumes(nn.AvgPool3d((2, 3, 2), (1, 2, 1), (1, 1, 0))),
    "averages, ceil mode": volumes(nn.AvgPool3d((2, 3, 2), padding=(1, 1, 0), count_include_pad=False, ceil_mode=True)),
    "averages, divisor": volumes(nn.AvgPool3d(2, divisor_override=3)),
    "uneven averages": volumes(nn.AdaptiveAvgPool3d((2, 3, 4))),
    "global average": volumes(nn.AdaptiveAvgPool3d(1)),
    "maxima": volumes(nn.MaxPool3d((3, 2, 2), (2, 2, 1), (1, 0, 1))),
    "maxima, ceil mode": volumes(nn.MaxPool3d(3, 2, dilation=(2, 1, 1), ceil_mode=True)),
    "maxima of slices": volumes(nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))),
    "maxima along the depth": volumes(nn.MaxPool3d((2, 1, 1))),
    "strided maxima of one": volumes(nn.MaxPool3d(1, 2)),
    "uneven maxima": volumes(nn.AdaptiveMaxPool3d((2, 3, 4))),
    "global maxima": volumes(nn.AdaptiveMaxPool3d(1)),
    "trilinear": volumes(nn.Upsample(scale_factor=1.5, mode="trilinear")),
    "nearest": volumes(nn.Upsample(scale_factor=2)),
}
