"""Runs a model once on example images, and records every operation on them, as ATen is asked for it.

The model computes as it always does, on plain tensors: hooks run, sizes are numbers, and all that does not depend on
the images is a constant. Below Python, every spelling of an operation has become one of a few hundred of ATen.
"""

# pyright: reportPrivateUsage=false
# Of its operations, torch shows the declarations only in private.

import collections
import contextlib
import dataclasses
import math
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from lava_aug.conversion.decompositions import DECOMPOSITIONS, DEPENDENT, OF_COMPLEX
from lava_aug.conversion.fusing import fused
from lava_aug.conversion.models import outputs
from lava_aug.conversion.user_code import first_line, line_of_error, mapped, named_modules, users_line, where_of
from lava_aug.core.errors import ConversionError
from lava_aug.kernels.threads import Shared

ASKS = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}
"""Operations whose results do not depend on the values of a tensor, only on its shape."""

NUMBERS = {"isnan", "isinf", "isfinite"}
"""Operations whose results are the same for all numbers."""

LEAVES = {"numpy", "tolist", "__array__", "__dlpack__"}
"""Methods that take values out of PyTorch."""

SHOWN = {"__repr__", "__format__"}
"""Methods that show values to people, which decides nothing."""

DECIDES = "asks for a value that depends on the image; remove control flow that depends on the data"
RANDOM = "draws random numbers in evaluation too; pass training=self.training, or use a module, such as nn.Dropout"

SHORTER = {
    **{"max_pool2d_with_indices": "max_pool2d", "max_pool3d_with_indices": "max_pool3d", "addmm": "linear"},
    **{"native_batch_norm": "batch_norm", "_native_batch_norm_legit_no_training": "batch_norm", "mm": "linear"},
    **{"hardtanh": "clamp", "_prelu_kernel": "prelu", "native_layer_norm": "layer_norm", "_softmax": "softmax"},
    **{"native_group_norm": "group_norm", "_log_softmax": "log_softmax", "_adaptive_avg_pool2d": "adaptive_avg_pool2d"},
    **{"fake_quantize_per_tensor_affine_cachemask": "quantize", "fake_quantize_per_tensor_affine": "quantize"},
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams": "quantize",
    **{"bmm": "matmul", "baddbmm": "matmul", "_local_scalar_dense": "item", "convolution": "conv"},
}
"""Names of operations as PyTorch's users know them, where ATen has another."""

Kind = TypeVar("Kind")


@dataclasses.dataclass(eq=False)
class Value:
    """A tensor that depends on the images.

    Attributes
    ----------
    tensor : tensor
        What it was for the example.
    users : int
        How many operations and outputs take it.
    """

    tensor: torch.Tensor
    users: int = 0


@dataclasses.dataclass(eq=False)
class Operation:
    """One operation of a model.

    Attributes
    ----------
    packet : callable
        The operation of ATen, whatever its overload; `overwritten` for what writing into a part of a tensor leaves.
    function : callable
        What was called, or would be called if it was one in place.
    args, kwargs : tuple, dict
        Its arguments, values among them.
    result : Any
        A value, or several, and what else it gave.
    name : str
        Unique.
    path : str
        The module whose forward() calls it.
    module : Module or None
        That module, if it is one of torch's that has no others inside.
    line : str
        Where in the user's code.
    """

    packet: Any
    function: Callable[..., Any]
    args: Any
    kwargs: Any
    result: Any
    name: str
    path: str
    module: nn.Module | None
    line: str

    @property
    def where(self) -> str:
        """For messages."""
        return where_of(self.name, self.path, self.module, self.line)

    @property
    def operands(self) -> list[Value]:
        """The values that it takes, in order."""
        return list(_values((self.args, self.kwargs)))

    @property
    def is_complex(self) -> bool:
        """Whether it takes or gives complex numbers."""
        return any(value.tensor.is_complex() for value in (*self.operands, *self.results))

    @property
    def results(self) -> list[Value]:
        """The values that it gives."""
        return list(_values(self.result))


def _values(nested: Any) -> Iterator[Value]:
    return _of_kind(Value, nested)


def _tensors(nested: Any) -> Iterator[torch.Tensor]:
    return _of_kind(torch.Tensor, nested)


def _of_kind(kind: type[Kind], nested: Any) -> Iterator[Kind]:
    held: list[Kind] = []
    mapped(nested, lambda part: held.append(part) if isinstance(part, kind) else None)
    return iter(held)


def overwritten(before: torch.Tensor, new: torch.Tensor, into: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
    """A tensor of which some elements, in C order, are those of another."""
    after = before.clone(memory_format=torch.contiguous_format).reshape(-1)
    after[into] = new.reshape(-1)[taken]
    return after.reshape(before.shape)


@dataclasses.dataclass
class _Memory:
    """What has been written into a piece of memory, and what it held before."""

    before: torch.Tensor
    writes: list[tuple[Value, torch.Tensor]] = dataclasses.field(default_factory=list[tuple[Value, torch.Tensor]])


class Recording:
    """The operations of a model, in the order in which it does them.

    Parameters
    ----------
    model : torch.nn.Module
        From `evaluation_copy`; forward() may change it.
    example : tensor, shape (B, *shape)
        What the model takes.

    Attributes
    ----------
    images : Value
        The example.
    operations : list of Operation
        What the outputs depend on.
    outputs : dict of str to Any
        Values by name (`lava_aug.conversion.models.outputs`), and what depends on no image as it is.

    Raises
    ------
    ConversionError
        If the model decides by values of the images, draws random numbers, or does not run on the example.
    """

    def __init__(self, model: nn.Module, example: torch.Tensor) -> None:
        self.inside: list[tuple[str, nn.Module]] = [("", model)]
        self.owned = {t.untyped_storage().data_ptr(): t for t in (*model.parameters(), *model.buffers())}
        self.every: list[Operation] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.constants: list[tuple[Operation, torch.Tensor, int]] = []
        self.memories: dict[int, _Memory] = {}
        self.at: collections.defaultdict[int, list[Value]] = collections.defaultdict(list)
        self.known: dict[int, tuple[torch.Tensor, Value | None, int]] = {}
        example = example.clone()  # operations in place may reach the images
        self.images = self._enter(example)
        self.outputs: dict[str, Any] = {}
        with torch.no_grad(), _PLAIN_ATTENTION:
            self._record(model, example)
        self.every = fused(self.every)
        self.operations = self._needed()
        for operation, tensor, version in self.constants:
            if tensor._version != version and operation in self.operations:
                raise ConversionError(f"{operation.where}: forward() changes its weights after it; write it without")

    def _record(self, model: nn.Module, example: torch.Tensor) -> None:
        for path, module in named_modules(model):
            if not isinstance(module, torch.jit.ScriptModule):
                vars(module)["forward"] = self._followed(module, path, module.forward)
        try:
            with _Leaving(self), _Dispatched(self):
                returned = call_the_model(model, example)
            for name, value in outputs(returned).items():
                read = self._read(value) if isinstance(value, torch.Tensor) else None
                self.outputs[name] = value if read is None else read
        except ConversionError:
            raise
        except Exception as error:
            raise ConversionError(
                f"{type(model).__name__}: its operations cannot be recorded ({type(error).__name__}: "
                f"{first_line(error)}{line_of_error(error, ', ')}); docs/conversion.md says what forward() may do"
            ) from error

    def _followed(self, module: nn.Module, path: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def followed(*args: Any, **kwargs: Any) -> Any:
            self.inside.append((path, module))
            try:
                return forward(*args, **kwargs)
            finally:
                self.inside.pop()

        return followed

    # While the model runs

    def dispatched(self, function: Any, args: Any, kwargs: Any) -> Any:
        """One operation of ATen: done, and recorded if it depends on the images."""
        reads: dict[int, Value] = {}

        def look(part: Any) -> None:
            value = self._read(part) if isinstance(part, torch.Tensor) else None
            if value is not None:
                reads[id(part)] = value

        mapped((args, kwargs), look)
        name = function._schema.name.split("::")[1]
        if torch.Tag.nondeterministic_seeded in function.tags and (name != "rrelu_with_noise" or True in args[4:5]):
            raise ConversionError(f"{self._place(name)}: {RANDOM}")
        if not reads or name in ASKS | NUMBERS:
            result = function(*args, **kwargs)
            fresh = "empty" in name and not result.is_quantized
            return result.zero_() if fresh else result  # what nobody has set says nothing of the images
        if name in ("_local_scalar_dense", "is_nonzero"):
            raise ConversionError(f"{self._place(name)}: {DECIDES}")
        made = self._decomposed(function, args, kwargs, reads)
        if made is not NotImplemented:
            return made
        if function._schema.is_mutable:
            return self._in_place(function, args, kwargs)
        given = mapped((args, kwargs), lambda part: self._argument(part, reads))
        result = function(*args, **kwargs)
        self._note(function, given, mapped(result, self._entered))
        return result

    def _decomposed(self, function: Any, args: Any, kwargs: Any, reads: dict[int, Value]) -> Any:
        """What an operation gives as several others, which are recorded in its place."""
        packet = function.overloadpacket
        if any(part.is_complex() for part in _tensors((args, kwargs))):
            decomposition = OF_COMPLEX.get(packet)
        else:
            known = all(id(args[place]) in reads for place in DEPENDENT.get(packet, ()))
            decomposition = DECOMPOSITIONS.get(packet, DECOMPOSITIONS.get(str(packet))) if known else None
        if decomposition is None:
            return NotImplemented
        with _Dispatched(self):
            return decomposition(*args, **kwargs)

    def _argument(self, part: Any, reads: dict[int, Value]) -> Any:
        """Values for tensors that depend on the images; other tensors as they are now."""
        if not isinstance(part, torch.Tensor):
            return part
        if id(part) in reads:
            return reads[id(part)]
        return part if part.untyped_storage().data_ptr() in self.owned else part.clone()

    def _entered(self, part: Any) -> Any:
        return self._enter(part) if isinstance(part, torch.Tensor) else part

    def _enter(self, tensor: torch.Tensor) -> Value:
        value, memory = Value(tensor), tensor.untyped_storage().data_ptr()
        self.at[memory].append(value)
        self.known[id(tensor)] = tensor, value, len(self.memories[memory].writes) if memory in self.memories else 0
        return value

    def _in_place(self, function: Any, args: Any, kwargs: Any) -> Any:
        """What it writes is what the operation that does not write gives; others in that memory find it when read."""
        written = [
            args[place] if place < len(args) else kwargs[argument.name]
            for place, argument in enumerate(function._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        packet = getattr(torch.ops.aten, function._schema.name.split("::")[1].removesuffix("_"), None)
        if len(written) != 1 or packet is None or function.overloadpacket is packet:
            raise ConversionError(f"{self._place(function.__name__)} writes into a tensor; write it without")
        (target,) = written
        with _Dispatched(self):
            new = getattr(packet, function._overloadname, packet)(*args, **kwargs)
        value = self._read(new)
        assert value is not None  # since it has read some
        self._remembered(target).writes.append((value, _addresses(target)))
        return function(*args, **kwargs)

    def _remembered(self, target: torch.Tensor) -> _Memory:
        """The memory of a tensor that is about to be written; values there keep what they were."""
        place = target.untyped_storage().data_ptr()
        for value in self.at.pop(place, []):
            if value.tensor.untyped_storage().data_ptr() == place:
                value.tensor = value.tensor.clone()
        if place not in self.memories:
            flat = torch.empty(0, dtype=target.dtype).set_(target.untyped_storage())
            self.memories[place] = _Memory(flat.clone())
        return self.memories[place]

    def _read(self, tensor: torch.Tensor) -> Value | None:
        """What a tensor stands for, with all that has been written into it."""
        _, value, seen = self.known.get(id(tensor), (tensor, None, 0))
        memory = self.memories.get(tensor.untyped_storage().data_ptr())
        if memory is None or seen == len(memory.writes):
            return value
        own = _addresses(tensor)
        for new, addresses in memory.writes[seen:]:
            value = self._written(value, tensor, memory, own, new, addresses)
        self.known[id(tensor)] = tensor, value, len(memory.writes)
        return value

    def _written(
        self, value: Value | None, tensor: torch.Tensor, memory: _Memory, own: Any, new: Value, addresses: Any
    ) -> Value | None:
        if own.shape == addresses.shape and torch.equal(own, addresses):
            return new
        order = torch.argsort(addresses.reshape(-1))
        ordered = addresses.reshape(-1)[order]
        found = torch.searchsorted(ordered, own.reshape(-1)).clamp(max=len(ordered) - 1)
        into = torch.nonzero(ordered[found] == own.reshape(-1)).reshape(-1)
        if not len(into):
            return value
        before = memory.before[own] if value is None else value
        parts = (before, new, into, order[found[into]])
        made = Value(overwritten(*(part.tensor if isinstance(part, Value) else part for part in parts)))
        self._note(overwritten, (parts, {}), made)
        return made

    def _note(self, function: Any, given: Any, result: Any) -> None:
        path, module = self._module()
        packet = getattr(function, "overloadpacket", function)
        name = self._name(packet.__name__ if module is None or not path else path.replace(".", "_"))
        args, kwargs = given
        operation = Operation(packet, function, args, kwargs, result, name, path, module, users_line())
        self.every.append(operation)

        def watch(part: Any) -> None:
            if isinstance(part, torch.Tensor) and part.untyped_storage().data_ptr() in self.owned:
                self.constants.append((operation, part, part._version))

        mapped(given, watch)

    def _name(self, name: str) -> str:
        name = SHORTER.get(name, name.lstrip("_"))
        self.counts[name] += 1
        return f"{name}_{self.counts[name] - 1}" if self.counts[name] > 1 else name

    def _place(self, name: str) -> str:
        return where_of(SHORTER.get(name, name).strip("_"), *self._module(), users_line())

    def _module(self) -> tuple[str, nn.Module | None]:
        """The running module's path, and itself, if it is one of torch's, without layers inside."""
        path, module = self.inside[-1]
        kinds = [type(part).__module__ for part in (module, *module.children())]
        whole = kinds[0].startswith("torch.") and not any(kind.startswith("torch.nn.modules.") for kind in kinds[1:])
        return path, module if whole else None

    def leaves(self, tensor: torch.Tensor, name: str) -> None:
        """A tensor's values are about to become something of Python's."""
        if self._read(tensor) is not None:
            raise ConversionError(f"{self._place(name)}: {DECIDES}")

    # What has been recorded

    def _needed(self) -> list[Operation]:
        needed = {value for value in self.outputs.values() if isinstance(value, Value)}
        for value in needed:
            value.users += 1
        kept: list[Operation] = []
        for operation in reversed(self.every):
            if needed.intersection(operation.results):
                kept.append(operation)
                for value in operation.operands:
                    value.users += 1
                needed.update(operation.operands)
        return kept[::-1]


def call_the_model(model: nn.Module, example: torch.Tensor) -> Any:
    """As users do."""
    return model(example)


def _addresses(tensor: torch.Tensor) -> torch.Tensor:
    """Where the elements of a tensor lie, in elements from the beginning of its memory."""
    span = tensor.storage_offset() + 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    numbers = torch.arange(max(span, 0) if math.prod(tensor.shape) else 0)
    return numbers.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


class _Dispatched(TorchDispatchMode):
    def __init__(self, recording: Recording) -> None:
        mode: Any = super()  # whose types torch leaves open
        mode.__init__()
        self.recording = recording

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.recording.dispatched(func, args, kwargs or {})


class _Leaving(TorchFunctionMode):
    """Sees what leaves PyTorch without being an operation of ATen."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in SHOWN:
            with _disable_current_modes():
                return func(*args, **(kwargs or {}))
        if name in LEAVES and isinstance(args[0], torch.Tensor):
            self.recording.leaves(args[0], name)
        return func(*args, **(kwargs or {}))


_ATTENTION: Any = attention  # of its functions torch leaves the types open


@contextlib.contextmanager
def _plain_attention() -> Generator[None, None, None]:
    """Attention's fused forms, which hide its operations, are not used meanwhile."""
    before: bool = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with _ATTENTION.sdpa_kernel(attention.SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


_PLAIN_ATTENTION = Shared(_plain_attention)
