"""Running a network on Lava's CPU backend, and `FastSimCfg`, the run configuration for any other network."""

import contextlib
import logging
from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import RunInterruptedError
from lava_aug.core.images import Images, Payloads, Progress, check_callable, check_num_steps, check_record
from lava_aug.core.network import INPUT, Network
from lava_aug.core.results import Output, warn_of_overflows
from lava_aug.core.texts import counted
from lava_aug.kernels.samples import warm_up
from lava_aug.lava.children import ONE_BLAS_THREAD
from lava_aug.lava.lava_import import import_lava
from lava_aug.simulation.pipeline import Recording

import_lava()

from lava.magma.core.process.process import ProcessServer  # noqa: E402
from lava.magma.core.process.variable import VarServer  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.proc.conv.models import PyConvModelFixed, PyConvModelFloat  # noqa: E402
from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc, PyDenseModelFloat  # noqa: E402

from lava_aug.lava.supervision import SupervisedRuntime, supervise  # noqa: E402
from lava_aug.processes import ImageSource, LayerProcesses, Neurons, SpikingNetwork, Synapses  # noqa: E402
from lava_aug.processes.fast_models import (  # noqa: E402
    PyFastConvFixed,
    PyFastConvFloat,
    PyFastDelayDenseFixed,
    PyFastDenseFixed,
    PyFastDenseFloat,
)

CHANNEL_SIZE = 2
"""Slots of a channel between Lava processes: one to fill while the other is read. Lava's 64 eat /dev/shm."""


def run(
    net: Network,
    images: Images,
    num_steps: int | None = None,
    *,
    record: bool | str | Iterable[str] = False,
    fused: bool = True,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> Output:
    """Run a network on Lava, images following each other every ``num_steps`` time steps.

    A layer at depth d lags d time steps behind the images, so N images take ``N * num_steps + depth`` steps, in one
    run. It cannot hang: if a Lava process raises or dies, an error is raised here, and nothing is left behind.

    Parameters
    ----------
    net : Network
        What to run.
    images : Images
        As for `lava_aug.simulate`; all of them are kept in memory.
    num_steps : int, optional
        Time steps per image; default ``net.num_steps``.
    record : bool, str or iterable of str
        Layers whose spikes to record (True: all, including the input).
    fused : bool
        Whether all layers share one Lava process, which is faster. Otherwise every layer has separate Lava processes
        for synapses and neurons, and a recorder. The results are the same, bit for bit.
    timeout : float, optional
        Time limit in seconds; default none.
    progress : callable, optional
        Called from time to time with the number of finished images and their total.

    Returns
    -------
    Output
        Equal to that of `lava_aug.simulate`, bit for bit if the network is fixed-point.

    Raises
    ------
    InputError
        If images, number of steps or recorded names are invalid.
    RunInterruptedError
        A `BackendError`: if the run ends early, by Ctrl-C, the timeout, or a Lava process that raises or dies. Its
        ``output`` holds the images that were finished.
    BackendError
        If Lava is not available, or shared memory is too small.

    Warns
    -----
    OverflowWarning
        As `lava_aug.simulate`.
    """
    shown = Payloads(net, images)
    check_callable("progress", progress)
    deployment = Deployment(net, shown.all(), check_num_steps(net, num_steps), check_record(net, record), fused=fused)
    deployment.labels = shown.labels
    deployment.run(timeout=timeout, progress=progress)
    return warn_of_overflows(deployment.output())


class Deployment:
    """A network as connected Lava Processes.

    Parameters
    ----------
    net : Network
        What to deploy.
    x : array, shape (num_images, *net.input_shape)
        Input payloads.
    num_steps : int
        Time steps per image.
    record : tuple of str
        Layers whose spikes to keep.
    fused : bool
        Whether all layers are one `SpikingNetwork`, or Processes of their own.

    Attributes
    ----------
    source : ImageSource
        Presents the images.
    network : SpikingNetwork or None
        All layers, if fused.
    neurons : dict of str to Neurons
        The neurons of every layer, if not fused; probe or connect them as any Lava Process.
    synapses : dict of str to list of Synapses
        The synapses into every layer, if not fused.
    recordings : dict of str to Recording
        What every layer, and the input, did.
    total_steps : int
        Time steps of the whole run.
    labels : numpy.ndarray or None
        True classes of the images, for `output`.
    """

    def __init__(
        self, net: Network, x: NDArray[Any], num_steps: int, record: tuple[str, ...] = (), *, fused: bool = False
    ) -> None:
        self.net, self.num_steps, self.num_images = net, num_steps, len(x)
        self.record = record
        self.labels: NDArray[Any] | None = None
        self.total_steps = len(x) * num_steps + net.depth
        self.recordings = {name: self._recording(name) for name in net.shapes}
        self.network: SpikingNetwork | None = None
        self.neurons: dict[str, Neurons] = {}
        self.synapses: dict[str, list[Synapses]] = {}
        with unregistered():
            self.source = ImageSource(images=x, num_steps=num_steps, name=INPUT)
            if fused:
                self.network = SpikingNetwork(network=net, num_steps=num_steps, recordings=self.recordings)
                self.source.s_out.connect(self.network.s_in)
            else:
                layers = LayerProcesses(net, num_steps, self.source.s_out, self.recordings)
                self.neurons, self.synapses = layers.neurons, layers.synapses

    def _recording(self, name: str) -> Recording:
        shape = self.net.shapes[name]
        keep = name in self.record or name == self.net.readout.name
        dtype = np.float32 if self.net.is_float else np.int32
        return Recording(shape, self.total_steps, fan_out=self.net.fan_outs(name), keep=keep, dtype=dtype)

    @property
    def num_finished(self) -> int:
        """Images whose windows have ended in all layers so far; it may be looked at while the run goes on."""
        counts = [
            (int(recording.finished[0]) - self.net.depths[name]) // self.num_steps
            for name, recording in self.recordings.items()
        ]
        return min(max(0, min(counts)), self.num_images)

    def run(self, *, timeout: float | None = None, progress: Progress | None = None) -> None:
        """Run all images through Lava, and stop it; arguments and errors as for `run`."""
        warm_up()
        tag = "floating_pt" if self.net.is_float else "fixed_pt"
        try:
            # Lava forks one process for each Process, which inherit the limit of one BLAS thread.
            with ONE_BLAS_THREAD, supervise(self.source, timeout=timeout):
                self.source.run(
                    condition=RunSteps(num_steps=self.total_steps, blocking=False),
                    run_cfg=Loihi2SimCfg(select_tag=tag),
                    compile_config={"pypy_channel_size": CHANNEL_SIZE},
                )
                runtime = self.source.runtime
                assert isinstance(runtime, SupervisedRuntime)  # supervise() saw to it
                if progress is not None:
                    report = progress
                    runtime.follow(lambda: report(self.num_finished, self.num_images))
                self.source.wait()
        except (Exception, KeyboardInterrupt) as error:
            raise self._interrupted(error) from error
        if progress is not None:
            progress(self.num_images, self.num_images)

    def _interrupted(self, error: BaseException) -> BaseException:
        """The error with what was finished; errors from before the start as they are."""
        finished = self.num_finished
        if self.source.runtime is None or not int(self.recordings[INPUT].finished[0]):
            return error
        cause = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        partial = self.output(finished) if finished else None
        return RunInterruptedError(
            f"run ended after {finished} of {counted(self.num_images, 'image')}: {cause}", partial, finished
        )

    def output(self, num_images: int | None = None) -> Output:
        """What the run gave for the first images (default all), windows put in order."""
        count = self.num_images if num_images is None else num_images
        firing = [INPUT, *(layer.name for layer in self.net if layer.neuron.fires)]
        synops: dict[str, NDArray[Any]] = {layer.name: np.zeros((), np.int64) for layer in self.net}
        for name, recording in self.recordings.items():
            for consumer, counts in recording.synops.items():
                synops[consumer] = synops[consumer] + self._windows(count, name, counts)
        v = self._windows(count, self.net.readout.name, self._data(self.net.readout.name))
        named = [layer.name for layer in self.net]
        return Output(
            network=self.net,
            v=v if self.net.is_float else v.astype(np.int64),
            events={name: self._windows(count, name, self.recordings[name].events) for name in firing},
            spike_sum={name: self._windows(count, name, self.recordings[name].spike_sum) for name in firing},
            synops=synops,
            saturated={name: self._windows(count, name, self.recordings[name].saturated) for name in named},
            capped={name: self._windows(count, name, self.recordings[name].capped) for name in named},
            spikes={name: self._windows(count, name, self._data(name)).astype(np.int32) for name in self.record},
            labels=None if self.labels is None else self.labels[:count],
        )

    def _data(self, name: str) -> NDArray[Any]:
        data = self.recordings[name].data
        assert data is not None  # kept on construction
        return data

    def _windows(self, count: int, name: str, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows of a recording, one per Lava time step, as ``(num_steps, num_images, ...)``."""
        first = self.net.depths[name]
        rows = rows[first : first + count * self.num_steps]
        return rows.reshape(count, self.num_steps, *rows.shape[1:]).swapaxes(0, 1).copy()


@contextlib.contextmanager
def unregistered() -> Generator[None, None, None]:
    """Make Processes that can be freed: Lava keeps every one for ever, images included, and a log handler for each."""
    lists: list[list[Any]] = [ProcessServer().processes, VarServer().vars]
    lengths, handlers = [len(kept) for kept in lists], set(logging.getLogger().handlers)
    try:
        yield
    finally:
        for kept, length in zip(lists, lengths, strict=True):
            del kept[length:]
        for handler in set(logging.getLogger().handlers) - handlers:
            logging.getLogger().removeHandler(handler)


import_lava()


FASTER: dict[Any, Any] = {
    PyConvModelFixed: PyFastConvFixed,
    PyConvModelFloat: PyFastConvFloat,
    PyDelayDenseModelBitAcc: PyFastDelayDenseFixed,
    PyDenseModelBitAcc: PyFastDenseFixed,
    PyDenseModelFloat: PyFastDenseFloat,
}
"""Stock ProcessModels, and those that take their place."""


class FastSimCfg(Loihi2SimCfg):
    """Lava's Loihi2SimCfg with fast models for Lava's own Conv, Dense and DelayDense, for any Lava network.

    It takes the arguments of `lava.magma.core.run_configs.Loihi2SimCfg`, selects models in the same way, and replaces
    only those listed in `FASTER`. Results are equal bit for bit in fixed point, and up to rounding in floating point.

    Examples
    --------
    >>> import lava_aug as la
    >>> import numpy as np
    >>> from lava.magma.core.run_conditions import RunSteps
    >>> from lava.proc.dense.process import Dense
    >>> dense = Dense(weights=np.array([[2, -4], [6, 8]]))
    >>> with la.supervise(dense, timeout=60):
    ...     dense.run(condition=RunSteps(num_steps=10), run_cfg=la.FastSimCfg(select_tag="fixed_pt"))
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        warm_up()  # before Lava forks its processes, each of which would compile for itself

    def select(self, process: Any, proc_models: Any) -> Any:
        """The ProcessModel for a Process."""
        chosen = super().select(process, proc_models)
        return FASTER.get(chosen, chosen)
