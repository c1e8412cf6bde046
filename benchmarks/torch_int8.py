"""torch.ao's int8 quantisation after training, with which converted networks are compared.

Both ways take a model, the batches to calibrate with, and give what computes the logits, and its engine.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

Batches = Sequence[torch.Tensor]


def with_plain_convolutions(model: nn.Module) -> nn.Module:
    """A copy whose convolutions are PyTorch's own, behind their padding.

    torch.ao does not fuse batch normalisation into those of other classes, which would be a disadvantage.
    """
    changed = copy.deepcopy(model)
    for module in [*changed.modules()]:
        for name, old in [*module.named_children()]:
            if isinstance(old, nn.Conv2d) and type(old) is not nn.Conv2d:
                setattr(module, name, nn.Sequential(old.static_padding, plain(old)))
    return changed.eval()


def plain(old: nn.Conv2d) -> nn.Conv2d:
    """The same convolution without padding."""
    options: dict[str, Any] = {"stride": old.stride, "dilation": old.dilation, "groups": old.groups}
    new = nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, bias=old.bias is not None, **options)  # pyright: ignore[reportArgumentType]
    new.weight, new.bias = old.weight, old.bias
    return new


def fx_graph_mode(model: nn.Module, calibration: Batches) -> tuple[nn.Module, str]:
    """With the default configuration of the first engine that this machine has; and which that is."""
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    there = torch.backends.quantized.supported_engines
    engine = next(name for name in ("x86", "fbgemm", "onednn", "qnnpack") if name in there)
    torch.backends.quantized.engine = engine
    prepared = prepare_fx(model, get_default_qconfig_mapping(engine), (calibration[0],))
    run(prepared, calibration)
    return convert_fx(prepared), engine


def exported(model: nn.Module, calibration: Batches) -> tuple[nn.Module, str]:
    """With observers behind ReLU6, where graph mode has them before; for batches as large as the first."""
    from torch._export import capture_pre_autograd_graph
    from torch.ao.quantization.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torch.ao.quantization.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    graph: Any = capture_pre_autograd_graph(model, (calibration[0],))
    prepared = prepare_pt2e(graph, quantizer)
    run(prepared, calibration)
    return convert_pt2e(prepared), "x86 inductor"


@torch.no_grad()
def run(model: nn.Module, batches: Batches) -> torch.Tensor:
    """Outputs for all batches."""
    return torch.cat([model(batch) for batch in batches])


WAYS = {"FX graph mode": fx_graph_mode, "PT2E": exported}
"""In graph mode, and in that of exported programs."""
