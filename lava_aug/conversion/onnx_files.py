"""ONNX files -> PyTorch models, by the package onnx2torch; what it does not read is first written as what it does."""

import importlib
import math
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lava_aug.conversion.models import with_one_input
from lava_aug.conversion.user_code import first_line, mapped
from lava_aug.core.errors import ConversionError, ConversionWarning, FileError
from lava_aug.core.inputs import Input

Model = nn.Module | str | os.PathLike[str]
"""A PyTorch model, or the path of an ONNX file."""

WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors")
"""Suffixes of files of weights, which are no models."""

OPSET = 17
"""What ONNX's own converter is asked for where onnx2torch does not know an operation in the version of the file."""

OURS = "lava_aug"
"""Domain of the operations that are added to what onnx2torch knows."""


_torch: Any = torch  # which leaves the types of some functions open


def _gelu(attributes: dict[str, Any]) -> nn.Module:
    return nn.GELU(_text(attributes.get("approximate", "none")))


def _mish(attributes: dict[str, Any]) -> nn.Module:
    del attributes
    return nn.Mish()


ADDED: dict[str, Callable[[dict[str, Any]], nn.Module]] = {"Gelu": _gelu, "Mish": _mish}
"""Operations that onnx2torch does not know: modules, made of a node's attributes."""


def as_module(model: Any, inputs: Sequence[Input] = ()) -> nn.Module:
    """A model as it is, or that of an ONNX file; one of several ``inputs`` so that it takes them as one.

    Raises
    ------
    FileError
        If the file cannot be read, or is not an ONNX file.
    ConversionError
        If it is neither; if its ``forward`` does not take ``inputs`` by their names; if the packages that read ONNX are
        not installed; if the file's graph takes several inputs or a fixed batch of more than one, or has operations
        that cannot be read.
    """
    if isinstance(model, nn.Module):
        return with_one_input(model, inputs) if inputs else model
    if isinstance(model, (str, os.PathLike)):
        path = Path(os.fspath(model))
        if path.suffix in WEIGHTS:
            raise ConversionError(
                f"model: expected a torch.nn.Module or an ONNX file, found {str(path)!r}, which holds weights; make "
                "the model, and load them into it with load_state_dict(torch.load(...))"
            )
        return as_module(read_onnx(path), inputs)
    raise ConversionError(f"model: expected a torch.nn.Module or an ONNX file, found {type(model).__name__}")


def read_onnx(path: Path) -> nn.Module:
    """The model of an ONNX file; see `as_module`."""
    where = f"ONNX file {str(path)!r}"
    onnx, onnx2torch = (_package(name) for name in ("onnx", "onnx2torch"))
    proto = _loaded(onnx, path, where)
    batch = _batch(proto, where)
    _enter_added(onnx2torch)
    try:
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            module = _converted(onnx, onnx2torch, proto)
    except Exception as error:
        unknown = _unknown(proto)
        reason = f"operations {', '.join(unknown)} cannot be read; export it without" if unknown else first_line(error)
        raise ConversionError(f"{where}: {reason}") from error
    for remark in dict.fromkeys(str(remark.message) for remark in remarks if remark.category is UserWarning):
        warnings.warn(f"{where}: {remark}", ConversionWarning, stacklevel=2)
    return OneByOne(module) if batch else module


class OneByOne(nn.Module):
    """A model for a batch of one image, on any number of them.

    Parameters
    ----------
    model : torch.nn.Module
        Takes ``(1, *shape)``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        self.model = model

    def forward(self, x: torch.Tensor) -> Any:
        """The outputs for all images ``(B, *shape)``, stacked."""
        return _torch.vmap(self._one)(x)

    def _one(self, image: torch.Tensor) -> Any:
        return mapped(self.model(image[None]), lambda part: part.squeeze(0))


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConversionError(
            f"model: {name}, which reads ONNX files, is not installed; pip install 'lava-aug[onnx]'"
        ) from None


def _loaded(onnx: Any, path: Path, where: str) -> Any:
    try:
        proto = onnx.load(str(path))
        onnx.checker.check_model(proto)
    except OSError as error:
        raise FileError(f"{where}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's and the checker's
        raise FileError(f"{where}: not a valid ONNX file: {first_line(error)}") from error
    return proto


def _batch(proto: Any, where: str) -> bool:
    """Whether the graph takes one image at a time."""
    constants = {initializer.name for initializer in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = [value.name for value in inputs]
        raise ConversionError(
            f"{where}: expected one input, the images, found {names}; export a model that takes "
            "one tensor, with the inputs one after the other along the channels, and splits it"
        )
    shape = inputs[0].type.tensor_type.shape.dim
    size = shape[0].dim_value if shape else 0
    if size > 1:
        raise ConversionError(
            f"{where}: takes batches of {size} images only; export it with a batch of 1, or of any size "
            "(dynamic_axes of torch.onnx.export)"
        )
    return size == 1


def _converted(onnx: Any, onnx2torch: Any, proto: Any) -> nn.Module:
    try:
        return onnx2torch.convert(_rewritten(onnx, proto))
    except Exception:
        try:
            other = onnx.version_converter.convert_version(proto, OPSET)
            return onnx2torch.convert(_rewritten(onnx, other))
        except Exception:  # the first one is about what is in the file
            pass
        raise


def _unknown(proto: Any) -> list[str]:
    """Types of operations that neither onnx2torch nor we know, in any version."""
    registry = importlib.import_module("onnx2torch.node_converters.registry")
    known = {known.operation_type for known in registry._CONVERTER_REGISTRY} | REWRITTEN
    return sorted({node.op_type for node in proto.graph.node} - known)


# What onnx2torch does not read

REWRITTEN = {"GlobalMaxPool", "Upsample"}
"""What becomes something else, by us or by ONNX's own converter."""


def _rewritten(onnx: Any, proto: Any) -> Any:
    """The same graph, in operations and forms that onnx2torch reads."""
    proto = onnx.shape_inference.infer_shapes(proto)
    graph = proto.graph
    shapes = {value.name: _dims(value) for value in (*graph.input, *graph.value_info)}
    constants = {initializer.name: initializer for initializer in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Identity" and node.input[0] in constants:
            graph.initializer.add().CopyFrom(constants[node.input[0]])
            graph.initializer[-1].name = node.output[0]
            graph.node.remove(node)
        elif node.op_type in ADDED:
            node.domain = OURS
        elif node.op_type == "Clip" and len(node.input) == 3 and not node.input[1]:
            graph.initializer.append(onnx.numpy_helper.from_array(np.float32(-np.inf), f"{node.output[0]} from"))
            node.input[1] = graph.initializer[-1].name
        elif node.op_type == "GlobalMaxPool":
            node.op_type = "ReduceMax"
            node.attribute.append(onnx.helper.make_attribute("axes", list(range(2, len(shapes[node.input[0]])))))
        else:
            _pad(onnx, node, shapes, constants)
    if OURS not in {entry.domain for entry in proto.opset_import}:
        proto.opset_import.append(onnx.helper.make_opsetid(OURS, 1))
    return proto


def _dims(value: Any) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _pad(onnx: Any, node: Any, shapes: dict[str, list[int]], constants: dict[str, Any]) -> None:
    """Write out the padding that ``auto_pad`` SAME_UPPER and SAME_LOWER stand for."""
    held = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    same = _text(held.get("auto_pad", b""))
    sizes = shapes.get(node.input[0], [0])[2:] if node.input else []
    if not same.startswith("SAME") or not sizes or not all(sizes):
        return
    kernel = held.get("kernel_shape") or list(constants[node.input[1]].dims[2:])
    ones = [1] * len(kernel)
    steps, wide = held.get("strides", ones), held.get("dilations", ones)
    totals = [
        max(0, (math.ceil(size / step) - 1) * step + (k - 1) * d + 1 - size)
        for size, step, k, d in zip(sizes, steps, kernel, wide, strict=True)
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    for attribute in [attribute for attribute in node.attribute if attribute.name in ("auto_pad", "pads")]:
        node.attribute.remove(attribute)
    pads = small + large if same == "SAME_UPPER" else large + small
    node.attribute.append(onnx.helper.make_attribute("pads", pads))


def _enter_added(onnx2torch: Any) -> None:
    """Make onnx2torch know our operations."""
    registry = importlib.import_module("onnx2torch.node_converters.registry")
    common = importlib.import_module("onnx2torch.utils.common")
    for name, make in ADDED.items():

        def converter(node: Any, graph: Any, make: Any = make) -> Any:
            del graph
            return common.OperationConverterResult(make(node.attributes), common.onnx_mapping_from_node(node))

        try:
            registry.add_converter(operation_type=name, version=1, domain=OURS)(converter)
        except ValueError:  # it does already
            return


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
