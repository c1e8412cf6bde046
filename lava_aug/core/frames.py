"""Results as data frames of pandas, which is optional."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import BackendError, InputError
from lava_aug.core.network import INPUT

if TYPE_CHECKING:
    from pandas import DataFrame

    from lava_aug.core.results import Output


def data_frame(columns: dict[str, Any], index: str | None = None) -> "DataFrame":
    """Columns of equal length as a data frame.

    Parameters
    ----------
    columns : dict
        Lists or arrays by name.
    index : str, optional
        The column that names the rows.

    Raises
    ------
    BackendError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise BackendError("to_dataframe: pandas is not installed; pip install 'lava-aug[pandas]'") from error
    frame = pd.DataFrame(columns)
    return frame if index is None else frame.set_index(index)


def _by_layer(out: "Output", fields: tuple[str, ...], labels: NDArray[Any] | None) -> "DataFrame":
    del labels
    shapes = out.network.shapes
    columns: dict[str, Any] = {"layer": list(shapes), "neurons": [int(np.prod(shape)) for shape in shapes.values()]}
    for field in fields:
        totals = out.totals(field)
        columns[field] = [float(totals[name].sum()) / out.num_images if name in totals else np.nan for name in shapes]
    return data_frame(columns, "layer")


def _by_step(out: "Output", fields: tuple[str, ...], labels: NDArray[Any] | None) -> "DataFrame":
    steps = np.arange(1, out.num_steps + 1)
    columns: dict[str, Any] = {"step": steps, **{field: out.per_image(field) for field in fields}}
    if labels is not None:
        accuracy = np.full(out.num_steps, np.nan)
        accuracy[out.readout_steps - 1] = out.accuracy(labels)
        columns["accuracy"] = accuracy
    return data_frame(columns, "step")


def _by_image(out: "Output", fields: tuple[str, ...], labels: NDArray[Any] | None) -> "DataFrame":
    if out.is_summed:
        raise InputError("to_dataframe: counts are summed over the images; simulate with counts='image'")
    columns: dict[str, Any] = {"image": np.arange(out.num_images), "steps": out.steps}
    if labels is not None and labels.size == out.num_images:
        columns["label"] = labels.reshape(out.num_images)
    if not out.network.heads and out.predictions[-1].size == out.num_images:
        columns["prediction"] = out.predictions[-1].reshape(out.num_images)
    for field in fields:
        counts = [count.sum(axis=0) for name, count in getattr(out, field).items() if name != INPUT]
        columns[field] = np.sum(counts, axis=0, dtype=np.int64) if counts else np.zeros(out.num_images, np.int64)
    return data_frame(columns, "image")


FRAMES: "dict[str, Callable[[Output, tuple[str, ...], NDArray[Any] | None], DataFrame]]" = {
    "layer": _by_layer,
    "step": _by_step,
    "image": _by_image,
}
"""What makes a data frame of an output, by what its rows are."""
