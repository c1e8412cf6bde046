"""Running stock Sigma-Delta files on lava-dl's unmodified netx, safely, and recording what every layer sends."""

import os
import time
import warnings
from typing import Any

import numpy as np

from lava_aug.lava.lava_import import import_lava, import_netx
from lava_aug.netx.sdnn_files import read_sdnn
from lava_aug.netx.sigma_delta import SigmaDeltaOutput
from lava_aug.simulation.recording import Recording

import_lava()

from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402

from lava_aug.lava.run_configs import FastSimCfg  # noqa: E402
from lava_aug.lava.supervision import supervise  # noqa: E402
from lava_aug.processes import ImageSource, Recorder  # noqa: E402


def run_sdnn(
    path: str | os.PathLike[str],
    images: Any,
    *,
    steps_per_image: int = 1,
    fast: bool = True,
    timeout: float | None = 600.0,
) -> SigmaDeltaOutput:
    """Run a file that `lava_aug.export_sdnn` wrote on lava-dl's netx, images following each other without reset.

    Parameters
    ----------
    path : path
        The file.
    images : array, shape (N, *input_shape)
        uint8, in our axes; without the constant channel, if the file has one.
    steps_per_image : int
        Time steps for which each image is shown. One is enough: netx's layers form a pipeline, in which each step's
        messages advance by one layer per step.
    fast : bool
        Whether `lava_aug.FastSimCfg` replaces Lava's models of Conv and Dense; the result is equal, bit for bit.
    timeout : float, optional
        Time limit in seconds.

    Returns
    -------
    SigmaDeltaOutput
        Layers are named "1", "2", …; ``seconds`` is the time that Lava took, including its start.

    Raises
    ------
    InputError
        If images or the number of steps are invalid.
    FileError
        If the file cannot be read.
    BackendError
        If lava-dl is missing or the run fails.
    """
    x = read_sdnn(path).pixels(images, steps_per_image)
    net = import_netx().Network(net_config=str(path))
    depth = len(net.layers) - 1
    steps = len(x) * steps_per_image + depth
    source = ImageSource(
        images=np.ascontiguousarray(x.transpose(0, *range(x.ndim - 1, 0, -1))), num_steps=steps_per_image
    )
    source.s_out.connect(net.in_layer.neuron.a_in)
    recordings = [_recorded(layer, steps, keep=layer is net.out_layer) for layer in net.layers]
    config = (FastSimCfg if fast else Loihi2SimCfg)(select_tag="fixed_pt")
    start = time.perf_counter()
    with supervise(net, timeout=timeout), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lava-dl; the block's own InPort, which netx does not use, among them
        net.run(condition=RunSteps(num_steps=steps), run_cfg=config)
    seconds = time.perf_counter() - start
    names = ["input", *map(str, range(1, len(net.layers)))]
    events = {name: found.events for name, found in zip(names[:-1], recordings, strict=False)}
    readout = np.asarray(recordings[-1].data, np.int64).reshape(steps, -1)
    return SigmaDeltaOutput(readout, events, len(x), steps_per_image, depth, seconds)


def _recorded(layer: Any, steps: int, *, keep: bool) -> Recording:
    recording = Recording(tuple(map(int, layer.out.shape)), steps, keep=keep)
    layer.neuron.s_out.connect(Recorder(recording=recording).s_in)
    return recording
