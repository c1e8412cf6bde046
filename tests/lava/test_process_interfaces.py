"""What users see of every Process: its signature, its documentation, and ProcessModels that fit its ports and Vars."""

import inspect
import pydoc
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lava.magma.compiler import compiler_graphs
from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from nets import small_net, three_methods

from lava_aug import processes
from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import Array
from lava_aug.core.layers import Dense, Relay
from lava_aug.core.neuron import Cost, Neuron, State, Step
from lava_aug.core.neurons import DoubleThresholdNeuron, MaxPoolNeuron
from lava_aug.core.spec import integer
from lava_aug.processes import (
    AugmentedIF,
    DoubleThresholdIF,
    ImageSource,
    IntegrateFire,
    MaxPool,
    Neurons,
    Probe,
    Readout,
    Recorder,
    SpikingNetwork,
    Synapses,
)
from lava_aug.processes.base import Process
from lava_aug.simulation.pipeline import Recording, Tape
from lava_aug.testing import run_process

pytestmark = pytest.mark.lava

MAKERS: dict[type[Process], Callable[[], Any]] = {
    AugmentedIF: lambda: AugmentedIF((2,), 10),
    DoubleThresholdIF: lambda: DoubleThresholdIF((2,), 10),
    IntegrateFire: lambda: IntegrateFire((2,), 10),
    MaxPool: lambda: MaxPool((2, 4), 2),
    Readout: lambda: Readout((2,)),
    Neurons: lambda: Neurons((2,), DoubleThresholdNeuron(vth=10)),
    ImageSource: lambda: ImageSource(images=[[1, 2]], num_steps=1),
    Synapses: lambda: Synapses(synapse=Relay(), shape=(2,)),
    Recorder: lambda: Recorder(recording=Recording((2,), 1)),
    Probe: lambda: Probe(tape=Tape((2,), 1)),
    SpikingNetwork: lambda: SpikingNetwork(network=small_net(), num_steps=1),
}
"""How to make one of each public Process."""

SPIKING = {"a_in", "s_out", "overflow_out", "v", "n", "saturated", "capped"}
"""What all neurons that fire have."""

NAMED = (AugmentedIF, DoubleThresholdIF, IntegrateFire, MaxPool, Readout)
each_process = pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__name__)


def entries(kind: type, section: str) -> set[str]:
    """The names that a section of a numpydoc docstring describes."""
    text = inspect.cleandoc(kind.__doc__ or "").partition(f"\n{section}\n{'-' * len(section)}\n")[2]
    lines = re.findall(r"^([\w, ]+) : ", re.split(r"\n\w+\n---", text)[0], re.MULTILINE)
    return {name for line in lines for name in line.split(", ")}


def members(process: AbstractProcess) -> set[str]:
    """Names of all ports and Vars."""
    return {member.name for member in (*process.in_ports, *process.out_ports, *process.vars)}


def test_every_public_process_is_tested() -> None:
    public = {getattr(processes, name) for name in processes.__all__}
    assert {kind for kind in public if issubclass(kind, AbstractProcess)} == set(MAKERS)


@each_process
def test_signatures_name_every_argument_with_its_type(kind: type[Process]) -> None:
    parameters = inspect.signature(kind).parameters
    assert list(parameters) == list(inspect.signature(kind.__init__).parameters)[1:]
    assert not {found.kind for found in parameters.values()} & {
        inspect.Parameter.VAR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    }
    assert all(found.annotation is not inspect.Parameter.empty for found in parameters.values())
    shown = pydoc.plain(pydoc.render_doc(kind)).replace("*, ", "")
    assert f" |  {kind.__name__}({next(iter(parameters))}: " in shown


@each_process
def test_docstrings_describe_every_argument_port_and_var(kind: type[Process]) -> None:
    assert entries(kind, "Parameters") == set(inspect.signature(kind).parameters)
    found = members(MAKERS[kind]())
    settable = {"vth", "v0", "vth_lo"} if kind is Neurons else set()  # what they are is the neuron's own matter
    assert found - settable <= entries(kind, "Attributes")
    assert entries(kind, "Attributes") - found <= ({"neuron", "graded", "v_out"} if kind is Neurons else set())


@pytest.mark.parametrize("kind", NAMED)
def test_arguments_are_the_parameters_of_the_neuron(kind: type[Neurons]) -> None:
    neuron = MAKERS[kind]().neuron
    own = set(inspect.signature(kind).parameters) - set(inspect.signature(Neurons).parameters)
    assert own == {name for name, _ in neuron.declarations()}
    assert ("bias" in inspect.signature(kind).parameters) == neuron.takes_bias
    declared = inspect.signature(type(neuron)).parameters
    assert {name: inspect.signature(kind).parameters[name].default for name in own} == {
        name: declared[name].default for name in own
    }


@each_process
def test_lava_finds_the_models_and_executes_no_file(kind: type[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[Any] = []
    monkeypatch.setattr(compiler_graphs.import_utils, "spec_from_file_location", lambda *found: executed.append(found))
    process = MAKERS[kind]()
    models = ProcGroupDiGraphs._find_proc_models(process)
    assert executed == []
    assert [model for model in models if "hierarchical" not in model.tags] == list(process.models.values())
    assert [model.tags[-1] for model in process.models.values()] == ["fixed_pt", "floating_pt"]


def test_models_have_the_widths_that_neurons_declare() -> None:
    process: Any = AugmentedIF((2,), 10)
    widths = {variable.name: variable.bits for variable in process.neuron.variables}
    for model in process.models.values():
        assert {name: getattr(model, name).precision for name in widths} == widths == {"v": 24, "n": 24}
        assert model.saturated.precision is None
    fixed, floating = process.models.values()
    assert (fixed.a_in.d_type, fixed.s_out.d_type, fixed.v.d_type) == (np.int64, np.int32, np.int64)
    assert {getattr(floating, name).d_type for name in ("a_in", "s_out", "v", "n", "vth")} == {float}
    assert fixed.overflow_out.d_type == floating.overflow_out.d_type == np.int32


@pytest.mark.parametrize(
    ("process", "floats"),
    [
        (lambda: AugmentedIF((1,), vth=0.5), r"AugmentedNeuron\(vth=0.5, .*\)"),
        (lambda: ImageSource(images=np.ones((1, 2)), num_steps=1), "an image"),
        (lambda: Synapses(synapse=Dense(weight=np.array([[0.5]])), shape=(1,)), "Dense"),
        (
            lambda: SpikingNetwork(network=three_methods(Dense(weight=np.array([[0.5, 8.0]])), (2,)), num_steps=1),
            "the network",
        ),
    ],
)
def test_floats_are_refused_in_fixed_point_before_lava_starts(process: Callable[[], Process], floats: str) -> None:
    """Lava would cut them to integers without a word."""
    made = process()
    message = f"^{made.name}: {floats} is floating-point; run it with select_tag='floating_pt'$"
    with pytest.raises(SpecError, match=message):
        made.run(condition=RunSteps(1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    assert made.runtime is None
    assert process().compile(Loihi2SimCfg(select_tag="floating_pt")).proc_builders


# Neurons of others


class Gated(Neuron):
    """Adds to ``v`` where the second current is positive, and fires at a threshold of its own."""

    type_name = "GATED"
    ports = ("a", "gate")
    settable = ("limit",)
    fire_cost = Cost(additions=2)

    limit: int = integer(low=1, stored_as="limit", doc="threshold")

    @property
    def is_float(self) -> bool:
        return False

    def initial(self) -> tuple[int, int]:
        return 1, 0

    def fire(self, v: Array, n: Array) -> Array:
        return (v >= self.limit).astype(v.dtype)

    def step(self, state: State, a: Array, gate: Array, bias: Array) -> Step:  # pyright: ignore
        return super().step(state, a * (gate > 0), bias)


def test_a_neuron_of_ones_own_runs_as_it_is() -> None:
    """With all ports, variables and parameters that it declares, and no file but its own."""
    process: Any = Neurons(shape=(2,), neuron=Gated(limit=5), bias=[0, 1], reset_interval=4, reset_offset=1)
    kinds = {type(process), type(Neurons((3,), Gated(limit=1)))}
    assert [kind.__name__ for kind in kinds] == ["Neurons[Gated]"]
    assert members(process) == {"gate_in", "limit", "bias", *SPIKING}
    found = run_process(
        process,
        a_in=[[3, 3]] * 5,
        gate_in=[[1, 0], [1, 0], [-1, 0], [0, 1], [1, 1]],
        probe=["v", "n", "limit"],
        before={2: lambda: process.limit.set(np.array([3]))},
    )
    assert found.v.tolist() == [[4, 2], [7, 3], [7, 4], [7, 8], [4, 5]]
    assert found.s_out.tolist() == [[0, 0], [1, 0], [1, 1], [1, 1], [1, 1]]
    assert found.n.tolist() == [[0, 0], [1, 0], [2, 1], [3, 2], [1, 1]]
    assert found.limit.ravel().tolist() == [5, 5, 3, 3, 3]


def test_neurons_of_the_same_name_are_told_apart() -> None:
    class Twice(Gated):
        def fire(self, v: Array, n: Array) -> Array:
            return 2 * super().fire(v, n)

        fire_cost = Cost(additions=2)

    Twice.__name__ = "Gated"
    process = Neurons(shape=(1,), neuron=Twice(limit=2))
    again = Neurons(shape=(1,), neuron=Gated(limit=2))
    inputs = {"a_in": [[3]], "gate_in": [[1]]}
    assert run_process(process, inputs).s_out.tolist() == [[2]]
    assert run_process(again, inputs).s_out.tolist() == [[1]]


class Doubled(AugmentedIF):
    """A subclass has ProcessModels as well."""

    def __init__(self, size: int) -> None:
        super().__init__((2 * size,), 10, v0=0)


def test_a_subclass_of_a_named_process_runs() -> None:
    process = Doubled(1)
    assert list(inspect.signature(Doubled).parameters) == ["size"]
    models = type(process).models
    assert models is not AugmentedIF.__dict__.get("models")
    assert {model.implements_process for model in models.values()} == {Doubled}
    assert run_process(process, a_in=[[30, 10]], model=models["fixed_pt"]).s_out.tolist() == [[3, 1]]


def test_objects_can_be_made_in_a_file_that_lava_executes_in_its_search() -> None:
    """It is no module that was imported: nobody will look for ProcessModels there."""
    names: dict[str, Any] = {"__name__": "executed", "AugmentedIF": AugmentedIF}
    exec("class Mine(AugmentedIF):\n    'Found by chance.'\n\nmade = Mine((2,), 10)", names)
    assert set(names["made"].models) == {"fixed_pt", "floating_pt"}
    assert names["made"].models["fixed_pt"].implements_process is names["Mine"]


def test_neurons_without_a_bias_have_no_var_of_it() -> None:
    assert members(MaxPool((1, 4), (1, 2))) == SPIKING
    with pytest.raises(SpecError, match="bias: MAXPOOL neurons take none"):
        Neurons((1, 4), MaxPoolNeuron(kernel_size=(1, 2)), bias=1)


@pytest.mark.parametrize(
    ("process", "graded"),
    [
        (lambda: IntegrateFire((1,), 3), False),
        (lambda: DoubleThresholdIF((1,), 3), True),
        (lambda: AugmentedIF((1,), 3), True),
        (lambda: Readout((1,)), True),
    ],
)
def test_who_sends_more_than_ones(process: Callable[[], Neurons], graded: bool) -> None:
    assert process().graded == graded
