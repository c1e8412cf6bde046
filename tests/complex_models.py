"""Fourier transforms and other complex numbers, between a stem and a head."""

from typing import Any

import torch
import torch.nn.functional as F
from real_models import SHAPE, Table, between
from torch import fft, nn


class Filter(nn.Module):
    """Complex factors."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(*shape, dtype=torch.cfloat, generator=generator))


def global_filter(m: Any, y: Any) -> Any:
    """As in GFNet."""
    return fft.irfft2(fft.rfft2(y, norm="ortho") * m.it.weight, s=y.shape[-2:], norm="ortho")


def spectral_convolution(m: Any, y: Any) -> Any:
    """As in Fourier neural operators: the lowest frequencies, each with a matrix of its own, in a buffer of zeros."""
    waves = fft.rfft2(y, norm="ortho")
    made = torch.zeros_like(waves)
    made[:, :, :4, :4] = torch.einsum("bixy,ioxy->boxy", waves[:, :, :4, :4], m.it.weight)
    return fft.irfft2(made, s=y.shape[-2:], norm="ortho")


def cropped_spectrum(m: Any, y: Any) -> Any:
    """The inverse pads what is missing."""
    return fft.irfft2(fft.rfft2(y, norm="ortho")[:, :, :, :5] * 0.5, s=y.shape[-2:], norm="ortho")


def fourier_mixing(m: Any, y: Any) -> Any:
    """As in FNet: along channels and places."""
    return fft.fft(fft.fft(y.flatten(2).mT, dim=-1), dim=-2).real.mT.reshape(y.shape)


def magnitudes(m: Any, y: Any) -> Any:
    waves = fft.fft2(y - y.mean((2, 3), keepdim=True), norm="ortho")
    return fft.fftshift(waves, (2, 3)).abs()


def convolved(m: Any, y: Any) -> Any:
    """By products of spectra."""
    return fft.irfft2(fft.rfft2(y, norm="ortho") * fft.rfft2(y.flip(1), norm="ortho").conj(), norm="ortho")


def arithmetic(m: Any, y: Any) -> Any:
    z = torch.complex(y, m.it(y))
    z = (2 * z - z.conj() + (0.5 - 0.25j)) * 1j / (1 + 2j)
    return torch.view_as_real(z.mean(2, keepdim=True)).flatten(3)


def spectrogram(m: Any, y: Any) -> Any:
    windows = torch.hann_window(32)
    return torch.stft(y.flatten(1)[:, :512], 32, 16, window=windows, return_complex=True).abs()[:, None]


COMPLEX: Table = {
    "real part": (between(lambda m, y: fft.rfft2(y).real), SHAPE),
    "both parts": (between(lambda m, y: torch.cat([(z := fft.rfft2(y)).real, z.imag], 1), 12), SHAPE),
    "imaginary part": (between(lambda m, y: F.relu(fft.ifft(y).imag)), SHAPE),
    "global filter": (between(global_filter, it=Filter(6, 16, 9)), SHAPE),
    "spectral convolution": (between(spectral_convolution, it=Filter(6, 6, 4, 4)), SHAPE),
    "cropped spectrum": (between(cropped_spectrum), SHAPE),
    "mixing": (between(fourier_mixing), SHAPE),
    "magnitudes": (between(magnitudes), SHAPE),
    "powers": (between(lambda m, y: fft.rfft2(y, norm="ortho").abs() ** 2), SHAPE),
    "products of spectra": (between(convolved), SHAPE),
    "quotients": (
        between(lambda m, y: (torch.complex(y, y.flip(1)) / torch.complex(y + 1, y.flip(2))).imag),
        SHAPE,
    ),
    "polar form": (between(lambda m, y: torch.view_as_real(torch.polar(y + 0.1, 2 * y)).flatten(3)), SHAPE),
    "arithmetic": (between(arithmetic, it=nn.Conv2d(6, 6, 1)), SHAPE),
    "spectrogram": (between(spectrogram, 1), SHAPE),
    "angles": (
        between(lambda m, y: F.relu(torch.complex(m.it(y) + 1, m.it(y.flip(1))).angle()), it=nn.Conv2d(6, 6, 1)),
        SHAPE,
    ),
}
