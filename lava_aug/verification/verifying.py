"""`verify`: compares the specification, the simulator, the saved and reloaded file, and Lava."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lava_aug.conversion.onnx_files import Model
from lava_aug.core.errors import BackendError, InputError, LavaAugError
from lava_aug.core.images import NUM_RANDOM, Images, Progress, check_network, check_num_steps, payloads, random_images
from lava_aug.core.network import Network
from lava_aug.core.results import COUNTS, Output
from lava_aug.core.tables import Table, Tabular
from lava_aug.core.texts import counted
from lava_aug.experiments.diagnosis import Diagnosis, diagnose
from lava_aug.netx.networks import load, save
from lava_aug.simulation.simulator import simulate
from lava_aug.verification.differences import Mismatch, differences, first_mismatch, misfit
from lava_aug.verification.reference import interpret

SPEC = "spec"
"""Name of the run that all others are compared with: `lava_aug.verification.reference`."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """The specification and one other run.

    Attributes
    ----------
    name : str
        The other run: ``"simulator"``, ``"file"``, ``"Lava hierarchical"`` or ``"Lava fused"``.
    mismatch : Mismatch or None
        The first value that differs.
    parameters : tuple of str
        For ``"file"``: every parameter that saving and loading changed, whether or not this affected a run.
    error : str
        Why it has no result, if it failed; with the traceback of a Lava process that raised.
    left_out : str
        Why it did not run, if it was skipped.
    wanted : bool
        Whether it was requested.
    """

    name: str
    mismatch: Mismatch | None = None
    parameters: tuple[str, ...] = ()
    error: str = ""
    left_out: str = ""
    wanted: bool = True

    @property
    def equal(self) -> bool:
        """Whether it ran without differences."""
        return not (self.mismatch or self.parameters or self.error or self.left_out)

    @property
    def result(self) -> str:
        """In one or two words."""
        return "equal" if self.equal else "left out" if self.left_out else "failed" if self.error else "different"

    def lines(self) -> Iterator[str]:
        """One line, or one for each problem; none if it was skipped."""
        if self.equal:
            yield f"{SPEC} = {self.name}"
        for parameter in self.parameters:
            yield f"{SPEC} != {self.name}: {parameter}"
        if self.error:
            yield f"{SPEC} != {self.name}: failed: {self.error.splitlines()[0]}"
        if self.mismatch:
            lava = f" (Lava's step {self.mismatch.lava_step})" if self.name in LAVA else ""
            yield f"{SPEC} != {self.name}: {self.mismatch}{lava}"


@dataclasses.dataclass(frozen=True, repr=False)
class Verification(Tabular):
    """What `verify` found; `str` makes a text of it, one line for each pair that is equal.

    Attributes
    ----------
    num_images, num_steps : int
        What ran.
    num_values : int
        Numbers compared in every pair: spikes, readouts and counts.
    pairs : tuple of Pair
        The specification with every other run, including skipped ones.
    groups : tuple of tuple of str
        Runs that agree in every number. If one differs from all the others, look there first.
    diagnosis : Diagnosis or None
        The network's error against the original model, if that was given.
    """

    num_images: int
    num_steps: int
    num_values: int
    pairs: tuple[Pair, ...]
    groups: tuple[tuple[str, ...], ...]
    diagnosis: Diagnosis | None = None

    @property
    def ok(self) -> bool:
        """Whether all requested runs finished and are equal; not if Lava was requested and is missing."""
        return all(pair.equal or not pair.wanted for pair in self.pairs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = dataclasses.asdict(self)
        for pair, plain in zip(self.pairs, values["pairs"], strict=True):
            plain["equal"] = pair.equal
        return {"ok": self.ok, **values}

    @property
    def _title(self) -> str:
        images, steps = counted(self.num_images, "image"), counted(self.num_steps, "time step")
        return f"{images}, {steps}, {self.num_values:,} values in each pair"

    def _facts(self) -> str:
        results = ", ".join(f"{pair.name} {pair.result}" for pair in self.pairs)
        return f"{'ok' if self.ok else 'not ok'}; {SPEC} and {results}; {self._title}"

    def tables(self) -> tuple[Table, ...]:
        """The pairs, each with its result; and the diagnosis, if there is one."""
        head = [f"{SPEC} and", "result", "difference"]
        rows = [[pair.name, pair.result, "; ".join(pair.lines()) if not pair.equal else ""] for pair in self.pairs]
        pairs = Table(head, rows, self._title, left=head)
        return (pairs,) if self.diagnosis is None else (pairs, *self.diagnosis.tables())

    def __str__(self) -> str:
        lines = [self._title, *(line for pair in self.pairs for line in pair.lines()), *self._left_out()]
        if len(self.groups) > 1:
            lines.append("agree with each other: " + "; ".join(", ".join(group) for group in self.groups))
        return "\n".join(lines + ([] if self.diagnosis is None else ["", str(self.diagnosis)]))

    def _left_out(self) -> Iterator[str]:
        """A line for each reason."""
        reasons = dict.fromkeys(pair.left_out for pair in self.pairs if pair.left_out)
        for reason in reasons:
            yield f"left out: {', '.join(pair.name for pair in self.pairs if pair.left_out == reason)}: {reason}"


@dataclasses.dataclass(frozen=True)
class _Task:
    """What all runs get."""

    net: Network
    x: NDArray[Any]
    num_steps: int
    timeout: float | None


def verify(
    net: Network,
    images: Images | None = None,
    num_steps: int | None = None,
    *,
    model: Model | None = None,
    lava: bool = True,
    num_images: int = NUM_RANDOM,
    seed: int = 0,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Check whether a network computes the same wherever it runs: in every layer, step and neuron.

    The specification (`verification.reference`) is compared with the simulator, with the saved and reloaded network,
    and with Lava, with every layer in separate Processes and with all layers fused into one. The comparison covers all
    spikes of all layers, the readout after every step, all counts, and every parameter of the reloaded network.

    Parameters
    ----------
    net : Network
        A fixed-point network.
    images : Images, optional
        uint8, or floating point in [0, 1]; by default those of `random_images`. A few are enough: the specification is
        slow.
    num_steps : int, optional
        Time steps per image; default ``net.num_steps``.
    model : torch.nn.Module or path, optional
        The original model: if given, the network's error is also measured, layer by layer, as by `lava_aug.diagnose`.
        It is never zero, and does not affect whether the runs are equal.
    lava : bool
        Whether to run on Lava; if Lava is not available, these runs are skipped, and the result is not `ok`.
    num_images, seed : int
        For random images.
    timeout : float, optional
        Time limit of each run on Lava, in seconds; default none.
    progress : callable, optional
        Called with the number of finished runs and their total.

    Returns
    -------
    Verification
        Equal or not, pair by pair, and the first value that differs.

    Raises
    ------
    InputError
        If the network computes in floating point, which is not bit-exact; if images or numbers are invalid; or if the
        network was not converted from the model.
    """
    check_network(net)
    if net.is_float:
        raise InputError(
            "verify: expected a fixed-point network, found floating-point weights, which are rounded differently in "
            "float32 (simulator) and float64 (Lava); convert with weight_bits=8"
        )
    images = random_images(net, num_images, seed) if images is None else images
    task = _Task(net, payloads(net, images), check_num_steps(net, num_steps), timeout)
    diagnosis = None if model is None else diagnose(net, model, task.x, task.num_steps)
    outputs = {SPEC: interpret(net, task.x, task.num_steps)}
    pairs: list[Pair] = []
    for index, name in enumerate(RUNS, start=1):
        pairs.append(_compared(name, task, outputs, lava=lava))
        if progress is not None:
            progress(index, len(RUNS))
    return Verification(
        num_images=len(task.x),
        num_steps=task.num_steps,
        num_values=_num_values(outputs[SPEC]),
        pairs=tuple(pairs),
        groups=_groups(outputs),
        diagnosis=diagnosis,
    )


def _compared(name: str, task: _Task, outputs: dict[str, Output], *, lava: bool) -> Pair:
    """A pair; what the run gave goes to the outputs, if it can be compared: the same object for all that are equal."""
    missing = _lava_missing(lava) if name in LAVA else ""
    if missing:
        return Pair(name, left_out=missing, wanted=lava)
    parameters: list[str] = []
    try:
        output = RUNS[name](task, parameters)
    except LavaAugError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return Pair(name, parameters=tuple(parameters), error=str(error))
    problem = misfit(outputs[SPEC], output)
    if problem is not None:
        return Pair(name, parameters=tuple(parameters), error=problem)
    outputs[name] = next((kept for kept in outputs.values() if not kept.differences(output)), output)
    return Pair(name, first_mismatch(outputs[SPEC], output, task.x), tuple(parameters))


def _lava_missing(wanted: bool) -> str:
    """Why nothing runs on Lava; nothing if it does."""
    if not wanted:
        return "not asked for"
    try:
        import lava_aug.lava.deploy  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except BackendError as error:
        return str(error)
    return ""


def _simulated(task: _Task, parameters: list[str]) -> Output:
    del parameters
    return simulate(task.net, task.x, task.num_steps, record=True)


def _reloaded(task: _Task, parameters: list[str]) -> Output:
    """The reloaded network in the specification's run: so what differs is the file's doing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "verify.net"
        save(task.net, path)
        net = load(path)
    parameters += differences(task.net, net)
    if net.input_shape != task.net.input_shape:
        raise InputError(f"the reloaded network takes images {net.input_shape} instead of {task.net.input_shape}")
    return interpret(net, task.x, task.num_steps)


def _on_lava(fused: bool) -> Callable[[_Task, list[str]], Output]:
    def run(task: _Task, parameters: list[str]) -> Output:
        del parameters
        from lava_aug.lava import deploy

        options: dict[str, Any] = {"record": True, "fused": fused, "timeout": task.timeout}
        return deploy.run(task.net, task.x, task.num_steps, **options)

    return run


LAVA = ("Lava hierarchical", "Lava fused")
"""The runs that need Lava."""

RUNS: dict[str, Callable[[_Task, list[str]], Output]] = {
    "simulator": _simulated,
    "file": _reloaded,
    LAVA[0]: _on_lava(fused=False),
    LAVA[1]: _on_lava(fused=True),
}
"""What is compared with the specification; each gets a list for parameters that differ."""


def _num_values(output: Output) -> int:
    return output.v.size + sum(
        values.size for field in (*COUNTS, "spikes") for values in getattr(output, field).values()
    )


def _groups(outputs: dict[str, Output]) -> tuple[tuple[str, ...], ...]:
    """Runs that gave the same, together."""
    groups: dict[int, tuple[str, ...]] = {}
    for name, output in outputs.items():
        groups[id(output)] = (*groups.get(id(output), ()), name)
    return tuple(groups.values())
