"""Comparisons in parts: the same whatever engine, order, interruption, and however many workers die."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import SKIPS, images_for, skip_net
from workers import die, die_once, import_what_is_not_there, not_three, process_id

import lava_aug as la
from lava_aug.core.errors import BackendWarning
from lava_aug.core.network import INPUT
from lava_aug.examples.digits import Digits, DigitsNet, load_digits
from lava_aug.experiments import Comparison, engines, parts
from lava_aug.experiments import running as experiments
from lava_aug.experiments.cases import Case, Choice, ablation_cases, cases_named, default_cases
from lava_aug.experiments.parts import Store, Tally, run_unit, units
from lava_aug.simulation.courses import margins

CASES = [
    Case("rate", 5, {"method": "rate"}),
    Case("fine", 3, {"method": "augmapping", "resolution": 0.25, "v0": "zero"}),
]


@pytest.fixture(scope="module")
def model() -> DigitsNet:
    torch.manual_seed(0)
    return DigitsNet().eval()


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers take as long to start as the machine needs."""
    monkeypatch.setattr(engines, "PATIENCE", 600.0)


@pytest.fixture
def compared(model: DigitsNet, digits: Digits, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Comparison]:
    """Compares on 50 images, in parts of 7."""
    monkeypatch.setattr(parts, "MOST_IMAGES", 7)

    def compare(**options: Any) -> la.experiments.Comparison:
        chosen = {"cases": CASES, **options}
        return la.experiments.compare(
            model, digits.train_images[:60], digits.test_images[:50], digits.test_labels[:50], **chosen
        )

    return compare


def content(found: la.experiments.Comparison) -> str:
    """Everything but the times, to the last bit."""
    rows = tuple(dataclasses.replace(row, seconds=0.0) for row in found.rows)
    return json.dumps(dataclasses.replace(found, rows=rows).to_dict())


# What is counted


def test_rows_are_what_simulate_gives(compared: Callable[..., Comparison], model: DigitsNet, digits: Digits) -> None:
    found = compared(title="t", data="d", configuration={"more": 1})
    labels = digits.test_labels[:50]
    for row, case in zip(found.rows, CASES, strict=True):
        net = la.convert(model, digits.train_images[:60], num_steps=case.num_steps, **case.convert)
        out = la.simulate(net, digits.test_images[:50], record=True)
        assert row.summary == net.summary()
        assert row.accuracy.tolist() == out.accuracy(labels).tolist()
        np.testing.assert_allclose(row.events, out.events_per_image(), rtol=1e-12)
        assert list(row.layers) == [INPUT, *(layer.name for layer in net)]
        for name, layer in row.layers.items():
            if name in out.events:
                np.testing.assert_allclose(layer.events, out.events[name].mean(axis=1))
                np.testing.assert_allclose(layer.spike_sum, out.spike_sum[name].mean(axis=1))
            if name in out.synops:
                np.testing.assert_allclose(layer.synops, out.synops[name].mean(axis=1))
            if name in out.spikes and name != INPUT:
                values, counts = np.unique(out.spikes[name], return_counts=True)
                expected = {int(v): c / 50 for v, c in zip(values, counts, strict=True) if v}
                assert layer.coefficients == pytest.approx(expected)
        np.testing.assert_allclose(row.synops, np.cumsum(sum(out.synops[n].mean(axis=1) for n in out.synops)))
        assert row.energy[0] > 0
        assert (np.diff(row.energy) > 0).all()
        assert row.exits[0].mean_steps == 1
        assert row.exits[0].margin == np.float32(margins(out.logits).min())
    logits = model(torch.tensor(digits.test_images[:50]) / 255).detach().numpy()
    assert found.ann_accuracy == (logits.argmax(axis=1) == labels).mean()
    assert (found.title, found.data, found.num_images) == ("t", "d", 50)
    assert found.configuration["more"] == 1
    assert found.configuration["raster"] == {"row": "fine", "image": 0}
    np.testing.assert_array_equal(found.raster["conv1"], out.spikes["conv1"][:, 0].reshape(3, -1)[:, :100])
    assert found.rows[1].options == {"method": "augmapping", "resolution": 0.25, "v0": "zero"}


@pytest.mark.parametrize("name", SKIPS)
@pytest.mark.parametrize("method", ["ter", "aug"])
def test_operations_of_every_connection(name: str, method: str) -> None:
    net, steps = skip_net(SKIPS[name], method), 4
    images = images_for(net)
    tally = Tally(net, steps)
    out = la.simulate(net, images, steps, record=True, look=tally.look)
    found = iter(tally.operations(out, images))
    for layer in net:
        for connection in layer.connections:
            fired = (out.spikes[connection.source] != 0).sum(axis=1).reshape(steps, -1)
            fan_out = connection.synapse.connectivity(net.shapes[connection.source]).fan_out.ravel()
            assert next(found).tolist() == (fired @ fan_out).tolist()


def test_floating_point_networks(compared: Callable[..., Comparison]) -> None:
    (row,) = compared(cases=[Case("float", 2, {"method": "augmapping", "weight_bits": None})]).rows
    assert row.accuracy.shape == (2,)
    assert row.energy[0] > 0


# Parts


def test_an_interrupted_comparison_goes_on(
    compared: Callable[..., Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content(compared())

    def stopped(what: str, done: int, total: int) -> None:
        if what == "simulating" and done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compared(parts=tmp_path, progress=stopped)
    kept = {path.name for path in tmp_path.iterdir()}
    assert 0 < len(kept) < 16
    calls: list[str] = []
    monkeypatch.setattr(experiments, "run_unit", lambda unit: calls.append(unit.key) or run_unit(unit))
    assert content(compared(parts=tmp_path)) == whole
    assert len(calls) == 16 - len(kept)
    assert not {f"{key}.part" for key in calls} & kept
    assert content(compared(parts=tmp_path)) == whole
    assert len(calls) == 16 - len(kept)


def test_damaged_parts_are_computed_again(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    whole = content(compared(parts=tmp_path))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 16
    files[0].write_bytes(files[0].read_bytes()[:-5])
    files[1].write_bytes(b"")
    flipped = bytearray(files[2].read_bytes())
    flipped[len(flipped) // 2] ^= 1
    files[2].write_bytes(bytes(flipped))
    (tmp_path / ".x.part.1.partial").write_bytes(b"half")
    assert content(compared(parts=tmp_path)) == whole


def test_parts_under_each_others_names_are_computed_again(
    compared: Callable[..., Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content(compared(parts=tmp_path))
    one, other, *_ = sorted(tmp_path.iterdir())
    data = one.read_bytes(), other.read_bytes()
    one.write_bytes(data[1])
    other.write_bytes(data[0])
    calls: list[str] = []
    monkeypatch.setattr(experiments, "run_unit", lambda unit: calls.append(unit.key) or run_unit(unit))
    assert content(compared(parts=tmp_path)) == whole
    assert sorted(calls) == sorted([one.stem, other.stem])


def test_a_part_is_known_by_all_that_it_depends_on(model: DigitsNet, digits: Digits) -> None:
    images = digits.test_images[:3]
    net = la.convert(model, digits.train_images[:60])
    (unit,) = units(net, images, 4, {})
    again = la.convert(model, digits.train_images[:60])
    assert units(again, images.copy(), 4, {})[0].key == unit.key
    other_images = images.copy()
    other_images[0, 0, 0, 0] ^= 1
    others = [
        units(net, other_images, 4, {}),
        units(net, images.reshape(3, 1, 4, 16), 4, {}),
        units(net, images, 5, {}),
        units(net, images, 4, {"device": "cuda"}),
        units(la.convert(model, digits.train_images[:60], v0="zero"), images, 4, {}),
    ]
    assert len({unit.key, *(other[0].key for other in others)}) == 6


def test_parts_keep_every_bit(model: DigitsNet, digits: Digits, tmp_path: Path) -> None:
    (unit,) = units(la.convert(model, digits.train_images[:60]), digits.test_images[:3], 4, {})
    part = run_unit(unit)
    store = Store(tmp_path / "a" / "b")
    assert store.read(unit.key) is None
    store.write(unit.key, part)
    found = store.read(unit.key)
    assert found is not None
    assert {k: (v.dtype, v.tolist()) for k, v in found.items()} == {k: (v.dtype, v.tolist()) for k, v in part.items()}
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == [f"{unit.key}.part"]


# Errors


def test_wrong_input(compared: Callable[..., Comparison], digits: Digits, tmp_path: Path) -> None:
    with pytest.raises(la.InputError, match=r"titles of their own, found \['rate'\]"):
        compared(cases=[CASES[0], CASES[0]])
    with pytest.raises(la.InputError, match="one or more with titles of their own, found none"):
        compared(cases=[])
    with pytest.raises(la.InputError, match="engine 'abacus': expected one of serial, loky, dask, ray"):
        compared(engine="abacus")
    with pytest.raises(la.InputError, match="engine 'loky': expected no scheduler"):
        compared(engine="loky", scheduler="tcp://127.0.0.1:1")
    (tmp_path / "file").write_text("")
    with pytest.raises(la.FileError, match="cannot write to"):
        compared(parts=tmp_path / "file")
    with pytest.raises(la.InputError, match="labels: expected integers"):
        la.experiments.compare(DigitsNet(), digits.train_images[:9], digits.test_images[:5], digits.test_labels[:4])


def test_models_without_classes_are_refused(digits: Digits) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1))
    with pytest.raises(la.InputError, match="one logit for each of two or more classes"):
        la.experiments.compare(model, digits.train_images[:9], digits.test_images[:5], np.zeros(5, int))


def test_another_version_is_refused(model: DigitsNet, digits: Digits) -> None:
    (unit,) = units(la.convert(model, digits.train_images[:60]), digits.test_images[:3], 4, {})
    changed = {**unit.versions, "lava-aug": "9.9", "numpy": "0.1"}
    message = (
        rf"a worker has lava-aug .*, numpy {np.__version__}, but .* started with lava-aug 9\.9, numpy 0\.1; install"
    )
    with pytest.raises(la.BackendError, match=message):
        run_unit(dataclasses.replace(unit, versions=changed))


def test_parts_of_float_networks_depend_on_what_adds_up(
    model: DigitsNet, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = la.convert(model, digits.train_images[:60])
    floating = la.convert(model, digits.train_images[:60], weight_bits=None)
    before = [units(net, digits.test_images[:3], 4, {})[0].key for net in (fixed, floating)]
    monkeypatch.setattr(torch, "__version__", "0.1")
    after = [units(net, digits.test_images[:3], 4, {})[0].key for net in (fixed, floating)]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_engines_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = engines.ENGINES["ray"]._replace(package="no_such_package")
    monkeypatch.setitem(engines.ENGINES, "ray", missing)
    with pytest.raises(la.InputError, match=r"engine 'ray' is not installed; pip install 'lava-aug\[ray\]'"):
        next(engines.spread(len, ["a"], engine="ray"))


# Cases

SCALES = {"weight_scales": "channel"}


def test_cases_of_methods() -> None:
    choice = Choice(("augmapping", "rate"), (1.0, 1 / 8, 0.3712), 20, 5)
    assert [(case.title, case.num_steps, case.options) for case in cases_named("methods", choice)] == [
        ("rate", 20, {"method": "rate", "resolution": 1.0, **SCALES}),
        ("AugMapping 1", 5, {"method": "augmapping", "resolution": 1.0, **SCALES}),
        ("AugMapping 1/8", 5, {"method": "augmapping", "resolution": 1 / 8, **SCALES}),
        ("AugMapping 0.3712", 5, {"method": "augmapping", "resolution": 0.3712, **SCALES}),
    ]
    chosen = cases_named("methods", Choice(weight_scales="layer"))
    assert {case.options["weight_scales"] for case in chosen} == {"layer"}
    assert Choice(num_steps=3).steps("augmapping") == 3
    assert [case.title for case in default_cases(4)] == ["rate", "TerMapping", "AugMapping"]


def test_ablations_change_one_option_each() -> None:
    found = {case.title: case.options for case in ablation_cases(Choice(("rate", "augmapping")))}
    base = {"method": "augmapping", "resolution": 1 / 8, **SCALES}
    assert found["AugMapping 1/8"] == base
    assert found["AugMapping 1/8, vth_lo = -vth"] == {**base, "symmetric": True}
    assert found["AugMapping 1/8, v0 = 0"] == {**base, "v0": "zero"}
    assert found["AugMapping 1/8, maximum"] == {**base, "percentile": 100.0}
    assert found["AugMapping 1/8, float"] == {**base, "weight_bits": None}
    assert found["AugMapping 1/8, scales per layer"] == {**base, "weight_scales": "layer"}
    assert found["AugMapping 1/8, rounded to nearest"] == {**base, "quality": "fast"}
    assert "rate, float" in found
    assert "rate, vth_lo = -vth" not in found
    per_layer = ablation_cases(Choice(("rate",), weight_scales="layer"))
    assert all(case.options["weight_scales"] == "layer" for case in per_layer)
    assert len({case.title for case in per_layer}) == len(per_layer) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice(("magic",)), "methods: expected some of rate, termapping, augmapping, found magic"),
        (lambda: Choice(()), "methods: expected some of rate, termapping, augmapping, found none"),
        (lambda: Choice(resolutions=()), "resolutions: expected at least one number"),
        (lambda: Choice(num_steps=10**30), f"num_steps: expected an integer from 1 to 65536, found {10**30}"),
        (lambda: Choice(augmapping_steps=0), "augmapping_steps: expected an integer from 1 to 65536, found 0"),
        (lambda: Choice(weight_scales="map"), "weight_scales: expected 'layer' or 'channel', found 'map'"),
        (lambda: cases_named("others"), "cases: expected one of methods, ablations, found 'others'"),
    ],
)
def test_wrong_choices(make: Callable[[], object], message: str) -> None:
    with pytest.raises(la.InputError, match=message):
        make()


# Engines


def test_processes_give_the_same(compared: Callable[..., Comparison]) -> None:
    assert content(compared(engine="loky", jobs=2)) == content(compared())


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
"""Where `workers` can be imported."""


@contextlib.contextmanager
def dask_scheduler(port: int = 0) -> Iterator[tuple[str, Any]]:
    """Address and process of a scheduler."""
    command = (sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--no-dashboard")
    options: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    with subprocess.Popen([*command, "--port", str(port)], **options) as process:
        lines: Any = process.stderr
        address = next(line.split()[-1] for line in lines if "Scheduler at:" in line)
        try:
            yield address, process
        finally:
            process.kill()


@contextlib.contextmanager
def dask_worker(address: str) -> Iterator[Any]:
    """A process, as the documentation starts one: one thread."""
    command = (sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny")
    options: dict[str, Any] = {
        "stderr": subprocess.DEVNULL,
        "env": {**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    }
    with subprocess.Popen([*command, "--no-dashboard"], **options) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def cluster_of_one() -> Iterator[str]:
    """The address of a scheduler with one worker of one thread."""
    pytest.importorskip("distributed", reason="needs the extra dask")
    with dask_scheduler() as (address, _), dask_worker(address):
        yield address


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_dask_worker_is_killed_in_the_middle(
    compared: Callable[..., Comparison], cluster_of_one: str, tmp_path: Path
) -> None:
    from distributed import Client

    with dask_worker(cluster_of_one) as second:
        with Client(cluster_of_one, set_as_default=False) as client:
            client.wait_for_workers(2)
            found_pids: Any = client.run(os.getpid)
        assert second.pid in found_pids.values()

        def kill(what: str, done: int, total: int) -> None:
            if what == "simulating" and done > total / 5:
                second.kill()

        found = compared(engine="dask", scheduler=cluster_of_one, parts=tmp_path, progress=kill)
        assert second.wait() == -signal.SIGKILL
    assert content(found) == content(compared())
    assert len(list(tmp_path.iterdir())) == 16


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_scheduler_dies_in_the_middle_and_it_goes_on(
    compared: Callable[..., Comparison], cluster_of_one: str, tmp_path: Path
) -> None:
    with dask_scheduler() as (address, process), dask_worker(address):

        def kill(what: str, done: int, total: int) -> None:
            if what == "simulating" and done > total / 3:
                process.kill()

        with pytest.raises(
            la.BackendError, match=r"engine 'dask': lost the scheduler .* call again to go on from there"
        ):
            compared(engine="dask", scheduler=address, parts=tmp_path, progress=kill)
    kept = len(list(tmp_path.iterdir()))
    assert 1 <= kept < 16
    again = compared(engine="dask", scheduler=cluster_of_one, parts=tmp_path)
    assert len(list(tmp_path.iterdir())) == 16
    assert content(again) == content(compared())


def test_one_dask_worker_of_one_thread_computes_and_not_this_process(cluster_of_one: Any) -> None:
    """joblib would compute in this process, and say nothing."""
    found = list(engines.spread(process_id, range(5), engine="dask", scheduler=cluster_of_one))
    assert sorted(index for index, _ in found) == list(range(5))
    assert len({pid for _, pid in found}) == 1
    assert os.getpid() not in {pid for _, pid in found}


def test_errors_on_dask_workers_are_theirs(cluster_of_one: Any) -> None:
    with pytest.raises(ValueError, match="not 3"):
        list(engines.spread(not_three, range(5), engine="dask", scheduler=cluster_of_one))
    with pytest.raises(
        la.BackendError, match=r"engine 'dask': a worker cannot import what it needs: No module named 'x"
    ):
        list(engines.spread(import_what_is_not_there, range(2), engine="dask", scheduler=cluster_of_one))


def test_a_scheduler_that_has_not_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs the extra dask")
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", "")
    with dask_scheduler() as (address, _), dask_worker(address):
        message = "engine 'dask': the scheduler cannot read what it is sent: .*; install the same versions of Python"
        with pytest.raises(la.BackendError, match=message):
            list(engines.spread(process_id, range(2), engine="dask", scheduler=address))


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs the extra dask")
    monkeypatch.setattr(engines, "PATIENCE", 0.5)
    with dask_scheduler() as (address, _):
        message = (
            rf"the scheduler at '{address}' had no worker for 0\.5 s; start some: dask worker {address} --nthreads 1"
        )
        with pytest.raises(la.BackendError, match=message):
            list(engines.spread(len, ["a"], engine="dask", scheduler=address))


def test_no_dask_scheduler() -> None:
    pytest.importorskip("distributed", reason="needs the extra dask")
    with pytest.raises(la.InputError, match="engine 'dask': expected a scheduler such as"):
        next(engines.spread(len, ["a"], engine="dask"))
    with pytest.raises(la.BackendError, match="engine 'dask': no scheduler at 'nowhere'"):
        next(engines.spread(len, ["a"], engine="dask", scheduler="nowhere"))


def test_one_core_of_ray_is_this_process_and_that_is_said() -> None:
    """Here with joblib's own backend of threads, which has as many as it is asked for."""
    calls = [(pow, (number, 2), {}) for number in range(20)]
    with pytest.warns(BackendWarning, match="engine 'threading': there is one core .* joblib computes in this process"):
        assert list(engines._in_rounds(calls, "threading", 1)) == [number**2 for number in range(20)]
    assert list(engines._in_rounds(calls, "threading", 2)) == [number**2 for number in range(20)]


def test_what_a_dead_process_had_is_done_again(tmp_path: Path) -> None:
    items = [(str(tmp_path), number) for number in range(8)]
    found = list(engines.spread(die_once, items, engine="loky", jobs=2))
    assert sorted(found) == [(number, number) for number in range(8)]
    assert (tmp_path / "died").exists()


def test_workers_that_always_die_are_an_error() -> None:
    with pytest.raises(
        la.BackendError, match=r"workers have died 3 times in a row, 2 parts are left: A worker process .* terminated"
    ):
        list(engines.spread(die, [1, 2], engine="loky", jobs=2))


def test_ray_gives_the_same(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    pytest.importorskip("ray.util.joblib")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        assert content(compared(engine="ray", parts=tmp_path)) == content(compared())
    finally:
        ray.shutdown()
