"""docs/file-format.md: its tables are those of the declarations, and name every type."""

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fuzz import network, stock_network

from lava_aug.core.fidelity import Fidelity
from lava_aug.core.layers import SYNAPSES
from lava_aug.core.network import MAX_NEURONS, Layer
from lava_aug.core.neurons import NEURONS
from lava_aug.core.spec import MAX_TEXT_BYTES, Spec
from lava_aug.netx.foreign import NetxNetwork
from lava_aug.netx.hdf5 import MAX_TEXTS
from lava_aug.netx.hdf5_bytes import MAX_BLOCKS, MAX_FILE_BYTES, MAX_RATIO
from lava_aug.netx.layers import NETX_LAYERS, NETX_NEURONS, Cuba, SigmaDelta
from lava_aug.netx.networks import save

PAGE = (Path(__file__).parent.parent / "docs" / "file-format.md").read_text(encoding="utf-8")

TABLES: dict[str, type[Spec]] = {
    "Every layer": Layer,
    "Fidelity": Fidelity,
    **{f"Layer {name}": cls for name, cls in SYNAPSES.items()},
    **{f"Neuron {name}": cls for name, cls in NEURONS.items()},
    **{f"lava-dl layer {name}": cls for name, cls in NETX_LAYERS.items()},
    **{f"lava-dl neuron {name}": cls for name, cls in NETX_NEURONS.items()},
    "lava-dl simulation": NetxNetwork,
}
"""Headings of the page, and the declarations of what stands under them."""


def default_of(field: dataclasses.Field) -> str:
    """What a dataset stands for that is not there."""
    if field.default is dataclasses.MISSING:
        return "must be there"
    return "-" if field.default is None else str(field.default)


def table_of(cls: type[Spec]) -> str:
    """The page's table of a type."""
    fields = {field.name: field for field in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
    rows = [
        f"| `{d.stored_as}` | {d.holds} | {default_of(fields[name])} | {d.doc} |"
        for name, d in cls.declarations()
        if d.stored_as is not None
    ]
    return "\n".join(["| dataset | holds | if missing | meaning |", "|---|---|---|---|", *rows]) if rows else ""


def section(heading: str) -> str:
    """The text under a heading, up to the next one."""
    return PAGE.partition(f"### {heading}\n")[2].partition("\n#")[0]


@pytest.mark.parametrize("heading", TABLES)
def test_tables_are_those_of_the_declarations(heading: str) -> None:
    found = section(heading)
    assert found.strip(), f"docs/file-format.md has no '### {heading}'"
    expected = table_of(TABLES[heading])
    assert expected in found if expected else "|---" not in found, f"### {heading}\n\n{expected}"


def test_every_section_is_of_a_type() -> None:
    kinds = ("Layer ", "Neuron ", "lava-dl layer ", "lava-dl neuron ")
    headings = [line[4:] for line in PAGE.splitlines() if line.startswith("### ")]
    assert {heading for heading in headings if heading.startswith(kinds)} <= set(TABLES)


@pytest.mark.parametrize("kind", ["ours", "CUBA", "SDNN"])
def test_everything_that_is_written_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    if kind == "ours":
        save(network(), path)
    else:
        stock_network({"CUBA": Cuba, "SDNN": SigmaDelta}[kind]).write(path)
    names: set[str] = set()
    with h5py.File(path) as file:
        file.visit(lambda name: names.update(name.split("/")))
        names |= set(file.attrs)
    for name in names:
        assert name.isdigit() or f"`{name}`" in PAGE or f"/{name}/" in PAGE, name


def test_limits() -> None:
    for limit in (MAX_FILE_BYTES >> 20, MAX_BLOCKS, MAX_TEXTS, MAX_TEXT_BYTES, MAX_NEURONS):
        assert f"{limit:,}" in PAGE
    assert f"{ ({4: 'four'}[MAX_RATIO]) } times its size on disk" in PAGE


def test_number_formats(tmp_path: Path) -> None:
    """As the page has them."""
    save(network(), tmp_path / "a.net")
    names = ("1/weight", "1/groups", "1/quantum", "1/type", "6/bias")
    with h5py.File(tmp_path / "a.net") as file:
        layers: Any = file["layer"]
        kinds = {name: layers[name].dtype for name in names}
    assert kinds == {
        "1/weight": np.int8,
        "1/groups": np.int64,
        "1/quantum": np.float64,
        "1/type": np.dtype("S4"),
        "6/bias": np.int8,
    }
