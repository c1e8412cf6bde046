"""`FastSimCfg`: the stock models of Lava are the oracle, and lava-dl's own networks give their ground truths."""

import importlib
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.models import PyConvModelFixed, PyConvModelFloat
from lava.proc.conv.process import Conv
from lava.proc.dense.models import PyDenseModelBitAcc, PyDenseModelFloat
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF

from lava_aug.kernels.winograd import largest_payload
from lava_aug.lava.deploy import FASTER, FastSimCfg
from lava_aug.lava.supervision import supervise
from lava_aug.processes.fast_models import ChannelsLast, PyFastConvFixed

pytestmark = pytest.mark.lava

NUM_STEPS = 4


def outputs(process: Any, data: np.ndarray, run_cfg: Any, before: Any = None) -> np.ndarray:
    """What a stock Process sends in response to data ``(*shape, NUM_STEPS)``."""
    source, sink = Source(data=data), Sink(shape=process.a_out.shape, buffer=NUM_STEPS)
    source.s_out.connect(process.s_in)
    process.a_out.connect(sink.a_in)
    with supervise(source):
        source.run(condition=RunSteps(num_steps=NUM_STEPS - 2), run_cfg=run_cfg)
        if before is not None:
            before(process)
        source.run(condition=RunSteps(num_steps=2))
        return sink.data.get()


def both(make: Any, data: np.ndarray, tag: str, before: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of the stock model and of the fast one."""
    return (
        outputs(make(), data, Loihi2SimCfg(select_tag=tag), before),
        outputs(make(), data, FastSimCfg(select_tag=tag), before),
    )


def computed(process: Any, stock: Any, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a stock model and the fast one in its place send, as `both`, stepped here and not in processes of Lava's."""
    found = []
    for chosen in (stock, FASTER[stock]):
        sent: list[np.ndarray] = []
        model, received = chosen(process.proc_params), iter(np.moveaxis(data, -1, 0))
        for var in process.vars:
            kind = getattr(chosen, var.name)
            setattr(model, var.name, np.broadcast_to(var.init, var.shape).astype(kind.d_type))
        model.s_in = SimpleNamespace(recv=lambda values=received, kind=chosen.s_in: next(values).astype(kind.d_type))
        model.a_out = SimpleNamespace(shape=process.a_out.shape, send=lambda a, sent=sent: sent.append(a.copy()))
        for _ in range(NUM_STEPS):
            model.run_spk()
        found.append(np.stack(sent, axis=-1))
    return found[0], found[1]


def spikes(seed: int, shape: tuple[int, ...], largest: int, activity: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-largest, largest + 1, (*shape, NUM_STEPS)) * (rng.random((*shape, NUM_STEPS)) < activity)


PAIRS = st.tuples(st.integers(1, 2), st.integers(1, 2))
FEW = settings(max_examples=25, derandomize=True)


@FEW
@given(
    st.data(),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([0, 8, 24]),
    st.sampled_from([1, 100, 2**20]),
    st.sampled_from([0.1, 1.0]),
)
def test_conv_equals_stock(data: st.DataObject, groups: int, message_bits: int, largest: int, activity: float) -> None:
    """Groups, strides, padding, dilation, binary and graded spikes, and sums that wrap at 24 bits."""
    shape = (7, 6, 2 * groups)
    kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    options: dict[str, Any] = {
        "input_shape": shape,
        "stride": data.draw(PAIRS),
        "padding": data.draw(PAIRS),
        "dilation": data.draw(PAIRS),
        "groups": groups,
        "num_message_bits": message_bits,
    }
    weight = np.random.default_rng(1).integers(-128, 128, (3 * groups, *kernel, 2))
    s = spikes(2, shape, largest, activity)
    stock, fast = computed(Conv(weight=weight, **options), PyConvModelFixed, s)
    assert np.abs(stock).max() > 0
    np.testing.assert_array_equal(fast, stock)
    stock, fast = computed(Conv(weight=weight / 7, **options), PyConvModelFloat, s / 3)
    np.testing.assert_allclose(fast, stock, rtol=1e-12, atol=1e-12 * np.abs(stock).max())


@pytest.mark.parametrize(("message_bits", "largest", "form"), [(0, 9, "tiles"), (24, 9, "tiles"), (24, 2**20, "f8")])
def test_conv_by_tiles_equals_stock(message_bits: int, largest: int, form: str) -> None:
    """Convolutions of 3x3 take fewer products where spikes are small; the kernel is the one that the model makes."""
    shape, geometry = (6, 5, 16), {"stride": (1, 1), "padding": (2, 1), "dilation": (1, 1)}
    weight = np.random.default_rng(1).integers(-128, 128, (3, 3, 3, 16))
    options: dict[str, Any] = {"input_shape": shape, "num_message_bits": message_bits, **geometry}
    s = spikes(2, shape, largest, 1.0)
    stock, fast = both(lambda: Conv(weight=weight, **options), s, "fixed_pt")
    assert np.abs(stock).max() > 0
    np.testing.assert_array_equal(fast, stock)
    kernel = ChannelsLast(weight, (8, 5, 3), 1, **geometry)
    kernel(s[..., 0].astype(bool) if message_bits == 0 else s[..., 0])
    assert list(kernel.forms) == [form]


def test_tiles_end_where_they_may_round() -> None:
    weight = np.random.default_rng(1).integers(-128, 128, (3, 3, 3, 16))
    kernel = ChannelsLast(weight, (4, 4, 3), 1, stride=(1, 1), padding=(1, 1), dilation=(1, 1))
    assert kernel.largest_tiled == largest_payload(kernel.tiled_weight) < (1 << 24) // kernel.weight_sum
    for largest, form in ((kernel.largest_tiled, "tiles"), (kernel.largest_tiled + 1, "f4")):
        s = np.full((4, 4, 16), largest, np.int32)
        kernel.forms.clear()
        found = kernel(s)
        assert list(kernel.forms) == [form]
        for channel in range(3):
            flipped = weight[channel, ::-1, ::-1].astype(int)
            assert found[1, 2, channel] == (flipped * s[:3, 1:4]).sum()
            assert found[0, 0, channel] == (flipped[1:, 1:] * s[:2, :2]).sum()


def test_conv_is_right_where_stock_wraps_its_groups() -> None:
    """Stock Conv keeps the number of groups in an int8, and gives zeros for 128."""
    weight = np.arange(1, 129).reshape(128, 1, 1, 1)
    s = np.ones((2, 1, 128, NUM_STEPS), int)
    stock, fast = both(
        lambda: Conv(weight=weight, input_shape=(2, 1, 128), groups=128, num_message_bits=8), s, "fixed_pt"
    )
    assert not stock.any()
    np.testing.assert_array_equal(fast[0, 0, :, 1], np.arange(1, 129))


@FEW
@given(
    st.sampled_from([0, 8, 24]),
    st.integers(-3, 3),
    st.integers(4, 8),
    st.sampled_from([1, 100, 2**20]),
    st.sampled_from([0.1, 1.0]),
)
def test_dense_equals_stock(
    message_bits: int, weight_exp: int, weight_bits: int, largest: int, activity: float
) -> None:
    """Weight exponents, truncated and clipped weights, binary and graded spikes."""
    weights = np.random.default_rng(1).integers(-300, 300, (5, 11))
    s = spikes(2, (11,), largest, activity)
    options: dict[str, Any] = {
        "num_message_bits": message_bits,
        "weight_exp": weight_exp,
        "num_weight_bits": weight_bits,
    }
    stock, fast = computed(Dense(weights=weights, **options), PyDenseModelBitAcc, s)
    assert np.abs(stock).max() > 0 or activity < 1
    np.testing.assert_array_equal(fast, stock)
    stock, fast = computed(Dense(weights=weights / 7, num_message_bits=message_bits), PyDenseModelFloat, s / 3)
    np.testing.assert_allclose(fast, stock, rtol=1e-12, atol=1e-12 * np.abs(stock).max())


def test_weights_that_were_set_count_from_then_on() -> None:
    weights = np.arange(6).reshape(2, 3)
    s = spikes(0, (3,), 9, 1.0)

    def double(process: Dense) -> None:
        process.weights.set(2 * weights)

    stock, fast = both(lambda: Dense(weights=weights, num_message_bits=8), s, "fixed_pt", double)
    np.testing.assert_array_equal(fast, stock)
    np.testing.assert_array_equal(stock[:, 3], 2 * weights @ s[:, 2])


def test_only_the_listed_models_are_replaced() -> None:
    config, stock = FastSimCfg(select_tag="fixed_pt"), Loihi2SimCfg(select_tag="fixed_pt")
    conv = Conv(weight=np.ones((1, 1, 1, 1)), input_shape=(2, 2, 1))
    models = [model for model in FASTER if model.implements_process is Conv]
    assert stock.select(conv, models) is PyConvModelFixed
    assert config.select(conv, models) is PyFastConvFixed
    chosen = FastSimCfg(exception_proc_model_map={Conv: PyConvModelFixed}).select(conv, models)
    assert chosen is PyFastConvFixed

    class Own(PyConvModelFixed):
        """A user's own model."""

    assert FastSimCfg(exception_proc_model_map={Conv: Own}).select(conv, models) is Own


def test_a_network_of_stock_neurons_runs_under_it() -> None:
    """Binary spikes of stock LIFs through stock Dense."""
    found = {}
    for config in (Loihi2SimCfg, FastSimCfg):
        source = LIF(shape=(4,), bias_mant=150 * np.arange(1, 5), vth=7, dv=0, du=4095)
        dense = Dense(weights=np.arange(12).reshape(3, 4))
        target = LIF(shape=(3,), vth=100_000, dv=0, du=4095)
        source.s_out.connect(dense.s_in)
        dense.a_out.connect(target.a_in)
        with pytest.warns(UserWarning, match="not connected"), supervise(source):
            source.run(condition=RunSteps(num_steps=20), run_cfg=config(select_tag="fixed_pt"))
            found[config] = (source.v.get(), target.v.get())
    np.testing.assert_array_equal(found[FastSimCfg][0], found[Loihi2SimCfg][0])
    np.testing.assert_array_equal(found[FastSimCfg][1], found[Loihi2SimCfg][1])
    assert found[Loihi2SimCfg][1].any()


LAVA_DL_TESTS = """
import importlib.util, sys, unittest
from pathlib import Path
import lava.lib.dl.netx as netx
from lava_aug.lava.deploy import FASTER, FastSimCfg

path = Path(netx.__file__).parents[4] / "tests" / "lava" / "lib" / "dl" / "netx" / "test_hdf5.py"
spec = importlib.util.spec_from_file_location("lava_dl_tests", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
chosen = set()

class Watched(FastSimCfg):
    def select(self, process, proc_models):
        model = super().select(process, proc_models)
        chosen.add(model)
        return model

module.TestRunConfig = module.Loihi2SimCfg = Watched
suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:], module.TestHdf5Netx)
result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
print("fast models:", sorted(model.__name__ for model in chosen & set(FASTER.values())))
sys.exit(not result.wasSuccessful())
"""
"""lava-dl ships its tests in its wheel; here they run with our run configuration in place of theirs."""


with_lava_dl = pytest.mark.skipif(not any(distributions(name="lava-dl")), reason="lava-dl is not installed")


@pytest.mark.slow
@with_lava_dl
def test_lava_dls_own_tests_pass_under_it(tmp_path: Path) -> None:
    """Networks built by stock netx, compared by lava-dl with its ground truths."""
    names = ["test_tinynet", "test_pilotnet_sdnn"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LAVA_DL_TESTS, *names],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 2 tests" in done.stdout
    assert "fast models: ['PyFastConvFixed', 'PyFastDenseFixed']" in done.stdout


@pytest.mark.slow
@with_lava_dl
@pytest.mark.filterwarnings("ignore")
def test_pilotnet_lif_equals_its_ground_truth(capsys: pytest.CaptureFixture[str]) -> None:
    """Currents and potentials of seven layers, half-way through an image and at its end."""
    importlib.import_module("ground_truths").compare("pilotnet_lif", ["FastSimCfg"])
    name, config, steps, _, values, unequal, _ = capsys.readouterr().out.splitlines()[-1].split()
    assert (name, config, steps, values, unequal) == ("pilotnet_lif", "FastSimCfg", "16", "160,618", "0")
