"""Running networks on lava-dl's unmodified netx: built by it, with fast models, under supervision."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.spec import is_int
from lava_aug.lava.lava_import import import_lava, import_netx
from lava_aug.netx.foreign import NetxNetwork, load
from lava_aug.netx.requantization import SPIKE_EXP
from lava_aug.netx.simulation import NetxOutput, check_range, named, rows, takes_values
from lava_aug.simulation.pipeline import Recording

import_lava()

from lava.magma.core.run_conditions import RunSteps  # noqa: E402

from lava_aug.lava.children import ONE_BLAS_THREAD  # noqa: E402
from lava_aug.lava.deploy import (  # noqa: E402
    CHANNEL_SIZE,
    FastSimCfg,
    unregistered,
)
from lava_aug.lava.supervision import supervise  # noqa: E402
from lava_aug.processes import ImageSource, Recorder  # noqa: E402

MAX_MESSAGE_BITS = 24
"""Widest graded spike."""


def run(
    network: NetxNetwork | str | os.PathLike[str],
    inputs: Any,
    num_steps: int | None = None,
    *,
    input_message_bits: int = 0,
    reset_interval: int | None = None,
    spike_exp: int = SPIKE_EXP,
    timeout: float | None = None,
    config: Any = None,
) -> NetxOutput:
    """Run a network on lava-dl's netx, unmodified: the same output as with stock models, bit for bit.

    Parameters
    ----------
    network : NetxNetwork or path
        What to run, or its file.
    inputs : array, shape (N, *network.given_shape) or network.given_shape
        Integers: images, frames, or one row for each time step. If the first layer of the file has neurons, they go to
        these as input currents (SDNN: as values to encode), without ``weight`` and ``bias`` of that layer, which netx
        leaves to the user; those of our exports are pixels, 0 to 255. Otherwise they are spikes, 0 or 1, or graded with
        ``input_message_bits``.
    num_steps : int, optional
        Time steps for which each of them is shown; default 1, and for one alone ``network.sample_steps``. Layers work
        one behind the other, so ``depth`` more steps follow, with an input of 0.
    input_message_bits, reset_interval, spike_exp : int, optional
        As of `lava.lib.dl.netx.hdf5.Network`.
    timeout : float, optional
        Seconds that the run may take; default no limit.
    config : run configuration of Lava, optional
        Default `lava_aug.FastSimCfg` in fixed point.

    Returns
    -------
    NetxOutput
        What the last layer sends in every step: CUBA and LOIHI 0 or 1; SDNN changes, whose running sum is the value;
        with ``sigma_output`` that sum itself.

    Raises
    ------
    InputError
        If shape, type or range of the inputs do not fit.
    FileError
        If the file cannot be read.
    BackendError
        If Lava or lava-dl is not available, or the run fails.
    """
    net = network if isinstance(network, NetxNetwork) else load(network)
    _check_options(input_message_bits, reset_interval, spike_exp)
    x, shown = rows(net, inputs, num_steps)
    check_range(net, x, input_message_bits, spike_exp)
    options = {"input_message_bits": input_message_bits, "reset_interval": reset_interval, "spike_exp": spike_exp}
    steps = len(x) * shown + net.depth
    source, recordings = _deployed(net, x, shown, steps, options)
    start = time.perf_counter()
    with ONE_BLAS_THREAD, supervise(source, timeout=timeout):
        source.run(
            condition=RunSteps(num_steps=steps),
            run_cfg=config or FastSimCfg(select_tag="fixed_pt"),
            compile_config={"pypy_channel_size": CHANNEL_SIZE},
        )
    seconds = time.perf_counter() - start
    events = {index: recording.events for index, recording in recordings.items()}
    sent = _turned(np.asarray(recordings[max(recordings)].data, np.int64))
    return NetxOutput(sent, named(net, events), len(x), shown, net.depth, seconds)


def _deployed(
    net: NetxNetwork, images: NDArray[Any], num_steps: int, steps: int, options: dict[str, Any]
) -> tuple[ImageSource, dict[int, Recording]]:
    """The network as stock netx builds it, of a file that holds what was checked and nothing else, with its input.

    What is sent by each layer, by its number, is recorded.
    """
    last = max(net.processing)
    recordings = {index: Recording(net.shapes[index][::-1], steps, keep=index == last) for index in net.processing}
    with unregistered(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.net"
        net.write(path)
        built = import_netx().Network(net_config=str(path), **options)
        source, first = ImageSource(images=_turned(images), num_steps=num_steps), built.in_layer
        source.s_out.connect(first.neuron.a_in if takes_values(net) else first.inp)
        for layer, recording in zip(built.layers, recordings.values(), strict=True):
            layer.neuron.s_out.connect(Recorder(recording=recording).s_in)
    return source, recordings


def _turned(values: NDArray[Any]) -> NDArray[Any]:
    """Maps (C, H, W) of every step as Lava has them, (W, H, C), and back."""
    return np.ascontiguousarray(values.transpose(0, *range(values.ndim - 1, 0, -1)))


def _check_options(input_message_bits: Any, reset_interval: Any, spike_exp: Any) -> None:
    for name, value, low, high in (
        ("input_message_bits", input_message_bits, 0, MAX_MESSAGE_BITS),
        ("reset_interval", 1 if reset_interval is None else reset_interval, 1, 1 << 31),
        ("spike_exp", spike_exp, 0, 7),
    ):
        if not is_int(value) or not low <= value <= high:
            raise InputError(f"{name}: expected an integer from {low} to {high}, found {value!r}")
