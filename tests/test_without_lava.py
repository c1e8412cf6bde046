"""On Pythons for which Lava does not exist, everything but the backend works, and that says why in one sentence."""

import platform
from importlib.metadata import distributions

import pytest
from nets import images_for, small_net

import lava_aug as la

HAS_LAVA = bool(list(distributions(name="lava-nc")))


@pytest.mark.skipif(HAS_LAVA, reason="Lava is installed")
@pytest.mark.parametrize("name", ["run", "supervise", "FastSimCfg"])
def test_the_backend_says_why_in_one_sentence(name: str) -> None:
    with pytest.raises(la.BackendError) as caught:
        getattr(la, name)
    assert str(caught.value) == (
        "lava_aug.run needs Lava, whose last releases (lava-nc 0.10.0, lava-dl 0.6.0) support Python 3.10 only; "
        f"this is Python {platform.python_version()}. Use Python 3.10, or lava_aug.simulate, which is equivalent, "
        "or install Lava by hand as described in the README under Limits."
    )


def test_the_rest_needs_no_lava() -> None:
    net = small_net()
    out = la.simulate(net, images_for(net), 3)
    assert (la.settle(net, images_for(net), 3).v == out.v[-1]).all()
