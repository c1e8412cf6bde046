"""Deploy trained PyTorch networks as augmented-spike networks on Intel's Lava.

The public names are imported lazily, so that importing this package imports neither torch nor Lava.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lava_aug import plot
    from lava_aug.backend.deploy import run
    from lava_aug.backend.run_configs import FastSimCfg
    from lava_aug.backend.supervision import supervise
    from lava_aug.checks.planning import Plan
    from lava_aug.checks.preflight import Preflight, check
    from lava_aug.checks.verification import Verification, verify
    from lava_aug.conversion.converter import convert
    from lava_aug.errors import (
        BackendError,
        BackendWarning,
        ConversionError,
        ConversionWarning,
        ExportError,
        ExportWarning,
        FileError,
        InputError,
        LavaAugError,
        NetworkError,
        OverflowWarning,
        RunInterruptedError,
        SpecError,
    )
    from lava_aug.experiments.cases import Case, cases_named
    from lava_aug.experiments.comparison import Comparison, Curve
    from lava_aug.experiments.diagnosis import Diagnosis, diagnose
    from lava_aug.experiments.running import compare_cases
    from lava_aug.experiments.tuning import Tuned, tune
    from lava_aug.formats.netx import load, save
    from lava_aug.network import Connection, Layer, Network
    from lava_aug.nir.files import from_nir, to_nir
    from lava_aug.reading import read_network
    from lava_aug.reports.pages import read_comparisons, report_html, to_csv, write_page, write_report
    from lava_aug.results import Output
    from lava_aug.sdnn.export import SigmaDeltaExport, export_sdnn
    from lava_aug.sdnn.runs import run_sdnn
    from lava_aug.sdnn.sigma_delta import SigmaDeltaNetwork, SigmaDeltaOutput
    from lava_aug.simulation.settling import Settled, settle
    from lava_aug.simulation.simulator import simulate
    from lava_aug.stock.files import StockNetwork, load_netx
    from lava_aug.zoo import Pretrained, pretrained

__version__ = "0.1.0"

# A public function never bears the name of a module: importing the module would hide the function.
_HOMES = {
    "experiments.cases": ("Case", "cases_named"),
    "experiments.comparison": ("Comparison", "Curve"),
    "conversion.converter": ("convert",),
    "backend.deploy": ("run",),
    "experiments.diagnosis": ("Diagnosis", "diagnose"),
    "errors": (
        "BackendError",
        "BackendWarning",
        "ConversionError",
        "ConversionWarning",
        "ExportError",
        "ExportWarning",
        "FileError",
        "InputError",
        "LavaAugError",
        "NetworkError",
        "OverflowWarning",
        "RunInterruptedError",
        "SpecError",
    ),
    "experiments.running": ("compare_cases",),
    "formats.netx": ("load", "save"),
    "sdnn.runs": ("run_sdnn",),
    "network": ("Connection", "Layer", "Network"),
    "nir.files": ("from_nir", "to_nir"),
    "reading": ("read_network",),
    "checks.planning": ("Plan",),
    "checks.preflight": ("Preflight", "check"),
    "reports.pages": ("read_comparisons", "report_html", "to_csv", "write_page", "write_report"),
    "results": ("Output",),
    "backend.run_configs": ("FastSimCfg",),
    "sdnn.export": ("SigmaDeltaExport", "export_sdnn"),
    "simulation.settling": ("Settled", "settle"),
    "sdnn.sigma_delta": ("SigmaDeltaNetwork", "SigmaDeltaOutput"),
    "simulation.simulator": ("simulate",),
    "stock.files": ("StockNetwork", "load_netx"),
    "backend.supervision": ("supervise",),
    "experiments.tuning": ("Tuned", "tune"),
    "checks.verification": ("Verification", "verify"),
    "zoo": ("Pretrained", "pretrained"),
}
_PUBLIC_MODULES = frozenset({"plot"})
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BackendError",
    "BackendWarning",
    "Case",
    "Comparison",
    "Connection",
    "ConversionError",
    "ConversionWarning",
    "Curve",
    "Diagnosis",
    "ExportError",
    "ExportWarning",
    "FastSimCfg",
    "FileError",
    "InputError",
    "LavaAugError",
    "Layer",
    "Network",
    "NetworkError",
    "Output",
    "OverflowWarning",
    "Plan",
    "Preflight",
    "Pretrained",
    "RunInterruptedError",
    "Settled",
    "SigmaDeltaExport",
    "SigmaDeltaNetwork",
    "SigmaDeltaOutput",
    "SpecError",
    "StockNetwork",
    "Tuned",
    "Verification",
    "cases_named",
    "check",
    "compare_cases",
    "convert",
    "diagnose",
    "export_sdnn",
    "from_nir",
    "load",
    "load_netx",
    "plot",
    "pretrained",
    "read_comparisons",
    "read_network",
    "report_html",
    "run",
    "run_sdnn",
    "save",
    "settle",
    "simulate",
    "supervise",
    "to_csv",
    "to_nir",
    "tune",
    "verify",
    "write_page",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC_MODULES:
        return import_module(f"lava_aug.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'lava_aug' has no attribute {name!r}")
    value = getattr(import_module(f"lava_aug.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
