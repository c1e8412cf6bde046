"""Running lava-dl's networks on Lava's CPU backend: built by stock netx, with fast models, under supervision."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.images import as_numpy
from lava_aug.core.spec import is_int
from lava_aug.lava.lava_import import import_lava, import_netx
from lava_aug.netx.stock_files import StockNetwork
from lava_aug.netx.stock_layers import StockInput
from lava_aug.simulation.recording import Recording

import_lava()

from lava.magma.core.run_conditions import RunSteps  # noqa: E402

from lava_aug.lava.children import ONE_BLAS_THREAD  # noqa: E402
from lava_aug.lava.deploy import CHANNEL_SIZE, unregistered  # noqa: E402
from lava_aug.lava.run_configs import FastSimCfg  # noqa: E402
from lava_aug.lava.supervision import supervise  # noqa: E402
from lava_aug.processes import ImageSource, Recorder  # noqa: E402

MAX_MESSAGE_BITS = 24
"""Widest graded spike."""


def run_stock(
    net: StockNetwork,
    inputs: Any,
    num_steps: int | None = None,
    *,
    input_message_bits: int = 0,
    reset_interval: int | None = None,
    spike_exp: int = 6,
    timeout: float | None = None,
    config: Any = None,
) -> NDArray[Any]:
    """Run a network of lava-dl's on Lava: the same output as stock netx with stock models, bit for bit.

    Parameters
    ----------
    net : StockNetwork
        What to run.
    inputs : array, shape (num_steps, *net.input_shape) or net.input_shape
        Integers, one row for each time step, or one for all of them. If the first layer of the file has neurons, they
        go to these as input currents (SDNN: as values to encode), without ``weight`` and ``bias`` of that layer, which
        netx leaves to the user. Otherwise they are spikes, 0 or 1, or graded with ``input_message_bits``.
    num_steps : int, optional
        Time steps; needed for one row. Layers work one behind the other: in stock netx a step's input shows at the
        output ``len(net.processing) - 1`` steps later, one less if the first layer has no neurons.
    input_message_bits, reset_interval, spike_exp : int, optional
        As of `lava.lib.dl.netx.hdf5.Network`.
    timeout : float, optional
        Seconds that the run may take; default no limit.
    config : run configuration of Lava, optional
        Default `lava_aug.FastSimCfg` in fixed point.

    Returns
    -------
    numpy.ndarray
        int32 ``(num_steps, *net.output_shape)``: what the last layer sends in every step. CUBA and LOIHI: 0 or 1. SDNN:
        changes, whose running sum is the value; with ``sigma_output`` that sum itself.

    Raises
    ------
    InputError
        If shape, type or range of the inputs do not fit.
    BackendError
        If Lava or lava-dl is not available, or the run fails.
    """
    x, steps = _frames(net, inputs, num_steps)
    _check_options(input_message_bits, reset_interval, spike_exp)
    _check_range(net, x, input_message_bits, spike_exp)
    recording = Recording(_turned(net.output_shape), steps, keep=True)
    options = {
        "input_message_bits": input_message_bits,
        "reset_interval": reset_interval,
        "spike_exp": spike_exp,
    }
    with unregistered():
        built = build(net, **options)
        data = np.ascontiguousarray(x.transpose(0, *range(x.ndim - 1, 0, -1)))
        source = ImageSource(images=data, num_steps=steps if len(data) == 1 else 1)
        recorder = Recorder(recording=recording)
        first = built.in_layer
        source.s_out.connect(first.neuron.a_in if isinstance(net.processing[0], StockInput) else first.inp)
        built.out_layer.out.connect(recorder.s_in)
    with ONE_BLAS_THREAD, supervise(source, timeout=timeout):
        source.run(
            condition=RunSteps(num_steps=steps),
            run_cfg=config or FastSimCfg(select_tag="fixed_pt"),
            compile_config={"pypy_channel_size": CHANNEL_SIZE},
        )
    found = recording.data
    assert found is not None  # kept on construction
    return found.transpose(0, *range(found.ndim - 1, 0, -1)).copy()


def build(net: StockNetwork, **options: Any) -> Any:
    """The network as stock netx builds it, from a file that holds what was checked and nothing else.

    Parameters
    ----------
    net : StockNetwork
        What to build.
    **options
        Of `lava.lib.dl.netx.hdf5.Network`.

    Returns
    -------
    lava.lib.dl.netx.hdf5.Network
        Lava's Process; its axes are (W, H, C).

    Raises
    ------
    BackendError
        If lava-dl is not available.
    """
    hdf5 = import_netx()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.net"
        net.write(path)
        return hdf5.Network(net_config=str(path), **options)


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C, H, W) as Lava has it, (W, H, C)."""
    return shape[::-1]


def _frames(net: StockNetwork, inputs: Any, num_steps: int | None) -> tuple[NDArray[Any], int]:
    """One row, or one for each step, as integers; and the number of steps."""
    if num_steps is not None and (not is_int(num_steps) or num_steps < 1):
        raise InputError(f"num_steps: expected an integer of at least 1, found {num_steps!r}")
    found = as_numpy(inputs, "inputs")
    expected = net.input_shape
    held = found.shape == expected
    if not held and (found.shape[1:] != expected or not len(found)):
        raise InputError(f"inputs: expected shape (num_steps, {_listed(expected)}) or {expected}, found {found.shape}")
    if held and num_steps is None:
        raise InputError(f"inputs: one row of shape {expected} is for all time steps; say how many with num_steps")
    if not held and num_steps not in (None, len(found)):
        raise InputError(f"inputs: expected {num_steps} rows, one for each time step, found {len(found)}")
    return _integers(found[None] if held else found), int(num_steps or len(found))


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def _integers(found: NDArray[Any]) -> NDArray[Any]:
    """Numbers as int64; whole floats and booleans are integers, too."""
    if found.dtype.kind not in "iufb":
        raise InputError(f"inputs: expected numbers, found {found.dtype}")
    if found.dtype.kind == "f" and not (np.rint(found) == found).all():
        raise InputError("inputs: expected whole numbers; round them as the network was trained to expect")
    return found.astype(np.int64)


def _check_options(input_message_bits: Any, reset_interval: Any, spike_exp: Any) -> None:
    for name, value, low, high in (
        ("input_message_bits", input_message_bits, 0, MAX_MESSAGE_BITS),
        ("reset_interval", 1 if reset_interval is None else reset_interval, 1, 1 << 31),
        ("spike_exp", spike_exp, 0, 7),
    ):
        if not is_int(value) or not low <= value <= high:
            raise InputError(f"{name}: expected an integer from {low} to {high}, found {value!r}")


def _check_range(net: StockNetwork, x: NDArray[Any], input_message_bits: int, spike_exp: int) -> None:
    """Lava wraps what does not fit, without a word."""
    neuron = net.processing[0].neuron if isinstance(net.processing[0], StockInput) else None
    if neuron is not None:
        low, high = -neuron.input_limit, neuron.input_limit
    elif input_message_bits:
        low, high = -(1 << (input_message_bits - 1)), (1 << (input_message_bits - 1)) - 1
    else:
        low, high = 0, 1
    if x.min() < low or x.max() > high:
        more = "" if neuron is not None or input_message_bits else "; for graded spikes give input_message_bits"
        raise InputError(f"inputs: expected {low} to {high}, found {x.min()} to {x.max()}{more}")
