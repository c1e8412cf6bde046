"""ONNX files: the models that they were exported from, graphs of other tools, and what cannot be read."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run
from float_graph import Model, images_of, lively
from torch import nn
from torch.nn import functional as F

from lava_aug import ConversionError, FileError, convert, settle
from lava_aug.conversion import onnx_files
from lava_aug.conversion.tracing import trace

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnx2torch", reason="needs the extra onnx")
h: Any = onnx.helper

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
]

SHAPE = (3, 8, 8)


def export(model: nn.Module, path: Path, *, dynamic: bool) -> Path:
    """As TorchScript's exporter writes it: images one by one, or any number of them."""
    axes: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}} if dynamic else {}
    options: dict[str, Any] = {"dynamo": False} if "dynamo" in torch.onnx.export.__annotations__ else {}
    torch.onnx.export(model, (images_of(SHAPE, 1),), str(path), **axes, **options)
    return path


def attended(m: Any, x: Any) -> Any:
    tokens = m.embed(x).flatten(2).transpose(1, 2)
    weights = torch.softmax(m.query(tokens) @ m.key(tokens).transpose(1, 2) / 2, -1)
    return m.out((weights @ m.value(tokens)).mean(1))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 4)
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "conv, norm, relu, pool": convolutional,
    "residual": lambda: Model(
        lambda m, x: m.out((F.relu(m.one(x)) + F.relu(m.two(x))).mean((2, 3))),
        one=nn.Conv2d(3, 6, 3, padding=1),
        two=nn.Conv2d(3, 6, 1),
        out=nn.Linear(6, 4),
    ),
    "gelu": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.GELU(), nn.Linear(12, 4)),
    "silu and view": lambda: Model(
        lambda m, x: m.out(F.silu(m.conv(x)).view(x.shape[0], -1)), conv=nn.Conv2d(3, 2, 3), out=nn.Linear(72, 4)
    ),
    "resize": lambda: Model(
        lambda m, x: m.out(F.interpolate(F.relu(m.conv(x)), scale_factor=2, mode="bilinear")),
        conv=nn.Conv2d(3, 4, 3),
        out=nn.Conv2d(4, 2, 3, stride=2),
    ),
    "attention": lambda: Model(
        attended,
        embed=nn.Conv2d(3, 4, 4, stride=4),
        out=nn.Linear(4, 3),
        **{name: nn.Linear(4, 4) for name in ("query", "key", "value")},
    ),
    "shared, unaffected biases": lambda: nn.Sequential(*(zeroed(nn.Conv2d(3, 3, 3)) for _ in range(3))),
    "relu6 and average": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.AvgPool2d(2, padding=1)),
}


def zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    """The exporter writes equal biases once, and names for them."""
    conv.reset_parameters = lambda: nn.init.zeros_(conv.bias)  # type: ignore[method-assign,arg-type]
    return conv


@pytest.mark.parametrize("dynamic", [False, True], ids=["one image", "any batch"])
@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_is_the_model(name: str, dynamic: bool, tmp_path: Path) -> None:
    model = lively(MODELS[name]())
    path, x = export(model, tmp_path / "model.onnx", dynamic=dynamic), images_of(SHAPE)
    with torch.no_grad():
        wanted = model(x)
    found = trace(path, x).readout(x).reshape(wanted.shape)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamic", [False, True], ids=["one image", "any batch"])
def test_the_network_is_the_same(dynamic: bool, tmp_path: Path) -> None:
    model, x = lively(convolutional()), images_of(SHAPE, 20)
    net, other = convert(model, x), convert(export(model, tmp_path / "m.onnx", dynamic=dynamic), x)
    assert [layer.neuron.type_name for layer in net] == [layer.neuron.type_name for layer in other]
    np.testing.assert_allclose(settle(net, x).logits, settle(other, x).logits, rtol=0.01, atol=0.01)


# Graphs of other tools

GENERATOR = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return GENERATOR.normal(size=shape).astype(np.float32)


def graph(
    *nodes: Any, shape: tuple[Any, ...] = ("N", *SHAPE), opset: int = 13, inputs: int = 1, **constants: Any
) -> Any:
    """A graph from ``x`` to ``y``."""
    kinds = [h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "z")[:inputs]]
    output = h.make_empty_tensor_value_info("y")
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    model = h.make_model(h.make_graph(nodes, "g", kinds, [output], tensors), opset_imports=[h.make_opsetid("", opset)])
    model.ir_version = 8
    return onnx.shape_inference.infer_shapes(model)


N = h.make_node
FLAT = N("Flatten", ["x"], ["a"])

GRAPHS: dict[str, Any] = {
    "Gemm, transposed": graph(
        FLAT, N("Gemm", ["a", "w", "b"], ["y"], transB=1, alpha=0.5, beta=2.0), w=values(4, 192), b=values(4)
    ),
    "Gemm": graph(FLAT, N("Gemm", ["a", "w"], ["y"]), w=values(192, 4)),
    "MatMul, Add": graph(
        FLAT, N("MatMul", ["a", "w"], ["c"]), N("Add", ["c", "b"], ["y"]), w=values(192, 4), b=values(4)
    ),
    "Clip": graph(N("Clip", ["x", "lo", "hi"], ["y"]), lo=np.float32(0.2), hi=np.float32(0.7)),
    "Clip from above": graph(N("Clip", ["x", "", "hi"], ["y"]), hi=np.float32(0.7)),
    "average without padding": graph(N("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)),
    "average with padding": graph(
        N("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, count_include_pad=1)
    ),
    "GlobalAveragePool": graph(N("GlobalAveragePool", ["x"], ["y"])),
    "GlobalMaxPool": graph(N("GlobalMaxPool", ["x"], ["y"])),
    "Reshape": graph(N("Reshape", ["x", "s"], ["y"]), s=np.array([0, -1])),
    "Reshape of one image": graph(N("Reshape", ["x", "s"], ["y"]), s=np.array([1, 192]), shape=(1, *SHAPE)),
    "Pad": graph(N("Pad", ["x", "p"], ["y"]), p=np.array([0, 0, 1, 2, 0, 0, 0, 1])),
    "channels last": graph(
        N("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]),
        N("Conv", ["a", "w", "b"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
        N("Relu", ["c"], ["d"]),
        N("Conv", ["d", "v"], ["e"], auto_pad="SAME_LOWER"),
        N("MaxPool", ["e"], ["y"], kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        shape=("N", 8, 8, 3),
        v=values(5, 5, 2, 2),
        w=values(5, 3, 3, 3),
        b=values(5),
    ),
    "Upsample": graph(
        N("Upsample", ["x", "s"], ["y"], mode="nearest"), opset=9, s=np.array([1, 1, 2, 2], dtype=np.float32)
    ),
    "Gelu": graph(N("Gelu", ["x"], ["y"], approximate="tanh"), opset=20),
    "Mish": graph(N("Mish", ["x"], ["y"]), opset=18),
    "ReduceMean": graph(N("ReduceMean", ["x", "s"], ["y"], keepdims=0), opset=18, s=np.array([2, 3])),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_other_tools(name: str, tmp_path: Path) -> None:
    model = GRAPHS[name]
    # What is the images themselves is no network.
    model.graph.node.extend([N("Sub", ["y", "half"], ["less"]), N("LeakyRelu", ["less"], ["out"], alpha=0.5)])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.5), "half"))
    model.graph.output[0].name = "out"
    onnx.save(model, tmp_path / "m.onnx")
    size = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    x = images_of(tuple(size[1:]), 3)
    reference = importlib.import_module("onnx.reference").ReferenceEvaluator(model)
    parts = [x] if not size[0] else x.split(1)
    wanted = np.concatenate([reference.run(None, {"x": part.numpy()})[0] for part in parts])
    found = trace(str(tmp_path / "m.onnx"), x).readout(x)
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)


# What cannot be read


def refused(path: Any) -> str:
    with pytest.raises((ConversionError, FileError)) as caught:
        convert(path, images_of(SHAPE))
    return str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone.onnx") == f"ONNX file '{tmp_path}/gone.onnx': No such file or directory"
    for content in (b"", b"no graph", b"\x08"):
        (tmp_path / "bad.onnx").write_bytes(content)
        assert refused(tmp_path / "bad.onnx").startswith(f"ONNX file '{tmp_path}/bad.onnx': not a valid ONNX file: ")
    assert refused(3) == "model: expected a torch.nn.Module or an ONNX file, found int"


def test_graphs_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    where = f"ONNX file '{path}': "
    onnx.save(graph(N("Add", ["x", "z"], ["y"]), inputs=2), path)
    assert refused(path) == (
        f"{where}expected one input, the images, found ['x', 'z']; export a model that takes one tensor, with the "
        "inputs one after the other along the channels, and splits it"
    )
    onnx.save(graph(N("Relu", ["x"], ["y"]), shape=(4, *SHAPE)), path)
    assert refused(path) == (
        f"{where}takes batches of 4 images only; export it with a batch of 1, or of any size (dynamic_axes of "
        "torch.onnx.export)"
    )
    onnx.save(graph(N("LpPool", ["x"], ["a"], kernel_shape=[2, 2]), N("Hardmax", ["a"], ["y"])), path)
    assert refused(path) == f"{where}operations Hardmax, LpPool cannot be read; export it without"


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(onnx_files.importlib, "import_module", missing)
    assert refused("m.onnx") == ("model: onnx, which reads ONNX files, is not installed; pip install 'lava-aug[onnx]'")


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    export(lively(convolutional()), Path("m.onnx"), dynamic=False)
    np.savez("images.npz", images=images_of(SHAPE, 20).numpy())
    assert run("convert", "m.onnx", "-c", "images.npz", "-o", "m.net") == 0
    assert "dense 96 -> 4" in capsys.readouterr().out
    assert run("diagnose", "m.net", "m.onnx", "--images", "images.npz") == 0
    assert run("convert", "m.onnx", "-w", "m.pt", "-c", "images.npz", "-o", "m.net") == 2
    assert "--weights: an ONNX file has its own; leave out 'm.pt'" in capsys.readouterr().err
