"""Several operations as the one function of one value that they are: quantisers, and products of functions of a value.

Quantised activations are often written out (``floor(x / s + 0.5).clamp(0, n) * s``), and so are gates of themselves,
as in ``x * sigmoid(x)``. Each operation alone would become a layer, and products two.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from lava_aug.conversion.staircases import Stairs, stairs
from lava_aug.conversion.user_code import is_sequence, mapped

aten: Any = torch.ops.aten

ROUNDS = {
    *(aten.floor, aten.round, aten.ceil, aten.trunc, aten.sign),
    *(aten.fake_quantize_per_tensor_affine, aten.fake_quantize_per_tensor_affine_cachemask),
    aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams,
}
"""Operations whose values lie apart."""

MULTIPLIES = {aten.mul, aten.div}

UNTAGGED = {aten.hardtanh, aten.detach, aten.alias, *ROUNDS}
"""Operations on every element that torch does not tag as such."""


class Quantiser:
    """Packet of operations that stand for `Stairs`."""


class Composed:
    """Packet of operations that stand for any other function of one value."""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Operations, one after the other, on one value.

    Attributes
    ----------
    root, end : Value
        What it takes and gives.
    operations : list of Operation
        In order.
    stairs : Stairs or None
        What it is, if it rounds.
    """

    root: Any
    end: Any
    operations: Sequence[Any]
    stairs: Stairs | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """What it gives for another tensor, in its number format."""
        known = {id(self.root): x}
        for operation in self.operations:
            args, kwargs = mapped((operation.args, operation.kwargs), lambda part: known.get(id(part), part))
            given = operation.function(*args, **kwargs)
            known[id(operation.results[0])] = given[0] if is_sequence(operation.result) else given
        return known[id(self.end)]


def fused(operations: Sequence[Any]) -> list[Any]:
    """The operations, in which one stands for several where these are one function.

    Those that are no longer needed are still there.
    """
    return _Fusing(operations).done()


class _Fusing:
    def __init__(self, operations: Sequence[Any]) -> None:
        self.operations = list(operations)
        self.maker = {value: operation for operation in operations for value in operation.results}
        self.takers: dict[Any, list[Any]] = {}
        self.roots: dict[Any, list[Any]] = {}
        for operation in operations:
            for value in dict.fromkeys(operation.operands):
                self.takers.setdefault(value, []).append(operation)
            self._note(operation)

    def _note(self, operation: Any) -> None:
        """Of which values, the nearest one first, what an operation gives is a function, element by element."""
        operands = list(dict.fromkeys(operation.operands))
        lines = [[value, *self.roots.get(value, [])] for value in operands]
        if not lines or not _by_elements(operation):
            return
        common = [value for value in lines[0] if all(value in line for line in lines[1:])]
        result = operation.results[0]
        self.roots[result] = [value for value in common if value.tensor.shape == result.tensor.shape]

    def done(self) -> list[Any]:
        instead: dict[int, Any] = {}
        for operation in self.operations:
            run = self._quantiser(operation) if operation.packet in ROUNDS else self._product(operation)
            if run is not None:
                end = self.maker[run.end]
                packet = Composed if run.stairs is None else Quantiser
                instead[id(end)] = dataclasses.replace(
                    end, packet=packet, function=run, args=(run.root,), kwargs={}, result=run.end
                )
        return [instead.get(id(operation), operation) for operation in self.operations]

    def _quantiser(self, operation: Any) -> Run | None:
        """The longest run with an operation that rounds in it that is a staircase."""
        before = set(self.roots.get(operation.results[0], []))
        for end in reversed([value for value, roots in self.roots.items() if before.intersection(roots)]):
            for root in reversed(self.roots.get(end, [])):
                run = self._run(root, end)
                if operation in run.operations and self._is_closed(run, operation):
                    found = _stairs(run)
                    if found is not None:
                        return dataclasses.replace(run, stairs=found)
        return None

    def _is_closed(self, run: Run, operation: Any) -> bool:
        """Whether nothing else takes what is rounded, before the end."""
        inside = run.operations[run.operations.index(operation) : -1]
        return all(taker in run.operations for one in inside for taker in self.takers.get(one.results[0], []))

    def _product(self, operation: Any) -> Run | None:
        """A product of two functions of one value."""
        several = len(set(operation.operands)) > 1
        result = operation.results[0] if operation.results else None
        roots = self.roots.get(result, []) if several and operation.packet in MULTIPLIES else []
        return self._run(roots[0], result) if roots else None

    def _run(self, root: Any, end: Any) -> Run:
        needed, found = {end}, list[Any]()
        for operation in reversed(self.operations):
            if needed.intersection(operation.results):
                found.append(operation)
                needed.update(value for value in operation.operands if value is not root)
            needed.difference_update(operation.results)
        return Run(root, end, found[::-1])


def _stairs(run: Run) -> Stairs | None:
    try:
        return stairs(run, float(run.root.tensor.abs().max()))
    except Exception:  # whatever an operation says of float64
        return None


def _by_elements(operation: Any) -> bool:
    """Whether an operation gives a function of each element, the same of all."""
    tagged = torch.Tag.pointwise in getattr(operation.function, "tags", ())
    constants: list[torch.Tensor] = []

    def look(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            constants.append(part)

    mapped((operation.args, operation.kwargs), look)
    return (tagged or operation.packet in UNTAGGED) and all(part.numel() == 1 for part in constants)
