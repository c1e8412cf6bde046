"""However a model is held, it is converted right or refused in words, and stays as it is."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from float_graph import Model
from held_models import HELD, IMAGES, REFUSED, network
from torch import nn

from lava_aug import ConversionError, convert, simulate

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated"),
    pytest.mark.filterwarnings("ignore:Lazy modules"),
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor"),
]


def state_of(model: nn.Module) -> dict[str, Any]:
    """What a conversion must not change."""
    modules = dict(model.named_modules())
    return {
        **{name: (module.training, type(module), set(vars(module))) for name, module in modules.items()},
        **{f"{name}.values": value.clone() for name, value in model.state_dict().items() if not value.is_meta},
        **{f"{name}.grad": None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
        **{f"{name}.learns": p.requires_grad for name, p in model.named_parameters()},
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        for name, value in one.items()
    )


def answers(model: nn.Module) -> np.ndarray:
    """Of the model itself, in evaluation mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad():
        found = model.float()(IMAGES / 255).numpy()
    for module, training in modes:
        module.training = training
    return found


@pytest.mark.parametrize("name", HELD)
def test_held_models_are_converted(name: str) -> None:
    model = HELD[name]()
    before = state_of(model)
    net = convert(model, IMAGES, resolution=1 / 512, weight_bits=None)
    assert same(state_of(model), before)
    found, wanted = simulate(net, IMAGES).logits[-1], answers(network() if "compile" in name else model)
    limit = 0.05 if name == "bfloat16" else 0.01
    assert np.abs(found - wanted).max() < limit * np.ptp(wanted, axis=0).max()


@pytest.mark.parametrize("name", REFUSED)
def test_held_models_are_refused(name: str) -> None:
    make, message = REFUSED[name]
    model = make()
    before = state_of(model) if name not in ("lazy", "quantised") else {}
    with pytest.raises(ConversionError) as caught:
        convert(model, IMAGES)
    assert str(caught.value) == message
    assert not before or same(state_of(model), before)


def test_threads_convert_at_once() -> None:
    """While others run their own models, which must not be recorded."""
    serial = [convert(model, IMAGES) for model in (network(), nn.Sequential(network(), nn.ReLU()))]
    models = [network() if index % 2 == 0 else nn.Sequential(network(), nn.ReLU()) for index in range(24)]
    stop, wrong, model = threading.Event(), [], network()
    wanted = answers(model)

    def run_the_model() -> None:
        while not stop.is_set():
            with torch.no_grad():
                wrong.extend([0] * (not np.array_equal(model(IMAGES / 255).numpy(), wanted)))

    def work(index: int) -> bool:
        return convert(models[index], IMAGES) == serial[index % 2]

    others = [threading.Thread(target=run_the_model) for _ in range(2)]
    for thread in others:
        thread.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            equal = list(pool.map(work, range(24)))
    finally:
        stop.set()
        for thread in others:
            thread.join()
    assert equal == [True] * 24
    assert wrong == []


def test_a_conversion_that_fails_leaves_no_lock_and_no_patch_behind() -> None:
    called = nn.Module.__call__
    for _ in range(2):
        with pytest.raises(ConversionError, match="asks for a value"):
            convert(Model(lambda m, x: m.net(x) if x.sum() > 0 else x, net=network()), IMAGES)
    assert nn.Module.__call__ is called
    assert convert(network(), IMAGES) == convert(network(), IMAGES)
