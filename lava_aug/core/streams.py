"""Images in the forms in which they come: arrays, data sets of (image, label), DataLoaders, iterables of batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, Union, cast

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.fixed_point import is_list
from lava_aug.core.inputs import Input, inputs_of, joined
from lava_aug.core.texts import counted

if TYPE_CHECKING:
    import torch


class Indexed(Protocol):
    """A data set: elements by their number."""

    def __getitem__(self, index: int, /) -> Any: ...

    def __len__(self) -> int: ...


Images: TypeAlias = Union[NDArray[Any], "torch.Tensor", Sequence[Any], Indexed, Iterable[Any]]
"""Images, with or without labels, as all functions take them that take images:

- an array or tensor ``(B, *shape)``, or a list of images: arrays, tensors, PIL images, nested lists of numbers;
- a pair of such and of integer labels ``(B,)``;
- a data set, whose elements are images or (image, label), or a list of (image, label);
- a DataLoader, or another iterable of batches, each images or (images, labels).

For models of several inputs, a dictionary of them by name stands for the images: ``{"left": ..., "right": ...}``.
"""

PLAIN = (bool, int, float, complex, str, np.generic)
"""What numpy makes an array of by itself, from lists of lists."""

DEEPEST = 64
"""Most axes of an array in numpy."""

_MA = cast(Any, np.ma)
"""numpy's module, which leaves types open."""


class Batch(NamedTuple):
    """Images ``(B, *shape)`` and, if they came with them, their labels ``(B,)``."""

    images: NDArray[Any]
    labels: NDArray[Any] | None


class Stream:
    """Images, and labels if they come with them, batch by batch.

    Arrays are there as a whole. Data sets and iterables are read when they are needed, in their own order.

    Parameters
    ----------
    data : Images
        The images.
    where : str
        What errors call them.
    axes : int, optional
        Of one image, if that is known: then an iterable may also give one image at a time.
    inputs : tuple of Input, optional
        Of the network; without them, those that come are taken.

    Attributes
    ----------
    whole : Batch or None
        The images, if they are there as a whole.
    count : int or None
        How many images there are, if that is known.
    inputs : tuple of Input or None
        If the images are several inputs: their names and shapes, as soon as one has been read.

    Raises
    ------
    InputError
        If there are no such images; where they are read, once they are.
    """

    def __init__(
        self, data: Images, where: str, axes: int | None = None, inputs: tuple[Input, ...] | None = None
    ) -> None:
        self.where, self._data, self._axes, self.inputs = where, data, axes, inputs
        self._of_samples = _is_indexed(data) or _is_iterable_dataset(data)
        self.whole = self._whole(data)
        self.count = _count(data) if self.whole is None else len(self.whole.images) if self.whole.images.ndim else 0

    def _whole(self, data: Any) -> Batch | None:
        if _is_pair(data):
            images = self._images(data[0], is_whole=True)
            labels = _as_labels(data[1], images)
            if labels is not None:
                return Batch(images, labels)
        return Batch(self._images(data, is_whole=True), None) if _is_array(data) else None

    def _images(self, data: Any, label: Any = None, *, is_whole: bool = False) -> NDArray[Any]:
        """A batch of images, or of several inputs as one; what is whole is no single image."""
        if not isinstance(data, Mapping) or self.inputs == ():
            images = as_numpy(data, self.where)
            return images[None] if not is_whole and self._is_sample(images, label, self._axes) else images
        given = cast("Mapping[Any, Any]", data)
        parts = {str(name): as_numpy(part, f"{self.where}[{name!r}]") for name, part in given.items()}
        name, axes = (self.inputs[0].name, len(self.inputs[0].shape)) if self.inputs else (next(iter(parts), ""), None)
        if not is_whole and name in parts and self._is_sample(parts[name], label, axes):
            parts = {name: part[None] for name, part in parts.items()}
        self.inputs = self.inputs or inputs_of(parts)
        return joined(parts, self.inputs, self.where)

    def _items(self) -> Iterable[Any]:
        data: Any = self._data
        # A data set need not be iterable, nor end with an IndexError.
        return (data[index] for index in range(len(data))) if _is_indexed(data) else data

    def _pieces(self) -> Iterator[Batch]:
        """As they come."""
        kind = None
        for item in self._items():
            image, label = _halves(item)
            images = self._images(image, label)
            if not images.ndim:
                raise InputError(f"{self.where}: expected images, or batches of them, found a number")
            kind = kind or (images.shape[1:], images.dtype)
            self._check_alike(kind, images)
            yield Batch(images, _as_labels(label, images))

    def _is_sample(self, images: NDArray[Any], label: Any, axes: int | None) -> bool:
        """Whether something is one image, not a batch."""
        if axes is not None:
            return images.ndim == axes
        return np.ndim(label) == 0 if label is not None else self._of_samples

    def _check_alike(self, kind: tuple[tuple[int, ...], np.dtype[Any]], images: NDArray[Any]) -> None:
        shape, dtype = kind
        if images.shape[1:] != shape:
            shapes = sorted({shape, images.shape[1:]})
            raise InputError(f"{self.where}: batches hold images of different shapes: {shapes}")
        if images.dtype != dtype:
            types = " and ".join(sorted(map(str, {dtype, images.dtype})))
            raise InputError(f"{self.where}: expected batches of one type, found {types}")

    def batches(self, size: int) -> Iterator[Batch]:
        """Successive images, ``size`` in each batch, fewer in the last one."""
        if self.whole is not None:
            images, labels = self.whole
            for start in range(0, len(images), size):
                rows = slice(start, start + size)
                yield Batch(images[rows], None if labels is None else labels[rows])
            return
        waiting: list[Batch] = []
        for piece in self._pieces():
            waiting.append(piece)
            while sum(len(batch.images) for batch in waiting) >= size:
                images, labels = _joined(waiting)
                yield Batch(images[:size], None if labels is None else labels[:size])
                rest = Batch(images[size:], None if labels is None else labels[size:])
                waiting = [rest] if len(rest.images) else []
        if waiting:
            yield _joined(waiting)

    def all(self) -> Batch:
        """All images at once; none if there are none."""
        if self.whole is not None:
            return self.whole
        pieces = list(self._pieces())
        return _joined(pieces) if pieces else Batch(np.zeros((0,)), None)

    def sample(self, most: int, most_bytes: int, progress: Callable[[int, int], None] | None = None) -> Batch:
        """Some of the images, each as likely as any other, in their order; all of those that are there as a whole.

        A stream of any length is read once, in memory for the images that are kept (Vitter's algorithm R, ACM TOMS 11,
        1985). The same stream gives the same images.

        Parameters
        ----------
        most, most_bytes : int
            How many images are kept, and how many bytes they may have.
        progress : callable, optional
            Called with the number of images that have been read, and of all; of those so far, if that is not known.
        """
        if self.whole is not None:
            return self.whole
        kept: dict[int, tuple[int, Batch]] = {}
        generator, read = cast(Any, np.random.default_rng(0)), 0  # numpy leaves its types open
        for images, labels in self._pieces():
            most = max(1, min(most, most_bytes // max(images[:1].nbytes, 1)))
            numbers = np.arange(read, read + len(images))
            places = np.where(numbers < most, numbers, generator.integers(0, numbers + 1))
            for row in np.flatnonzero(places < most).tolist():
                one = Batch(images[row : row + 1].copy(), None if labels is None else labels[row : row + 1])
                kept[int(places[row])] = read + row, one
            read += len(images)
            if progress is not None:
                progress(read, max(read, self.count or 0))
        in_order = [batch for _, batch in sorted(kept.values(), key=lambda entry: entry[0])]
        return _joined(in_order) if in_order else Batch(np.zeros((0,)), None)


def joined_labels(parts: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """Labels of successive batches, if all have them."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known and len(known) == len(parts) else None


def _joined(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    return Batch(np.concatenate([part.images for part in parts]), joined_labels([part.labels for part in parts]))


def _is_array(data: Any) -> bool:
    """Whether something is images as a whole, or nothing that could be read piece by piece."""
    if is_list(data):
        return not (data and (_is_pair(data[0]) or isinstance(data[0], Mapping)))
    if hasattr(data, "shape") or hasattr(data, "getbands") or hasattr(data, "__array__"):
        return True
    return isinstance(data, (str, bytes, Mapping)) or not (isinstance(data, Iterable) or _is_indexed(data))


def _is_pair(data: Any) -> bool:
    """Whether something is (image, label), or (images, labels): an array or a picture, and integers."""
    if not is_list(data) or len(data) != 2:
        return False
    if _label_type(data[1]) not in "iu":
        return False
    if isinstance(data[0], Mapping):
        return np.ndim(data[1]) < 2
    axes = 2 if hasattr(data[0], "getbands") else len(getattr(data[0], "shape", ()))
    return axes > np.ndim(data[1]) and np.ndim(data[1]) < 2


def _label_type(label: Any) -> str:
    """numpy's letter for the kind of elements."""
    try:
        return as_numpy(label, "labels").dtype.kind
    except InputError:
        return "-"


def _halves(item: Any) -> tuple[Any, Any]:
    """Image and label of an element of a data set, or images and labels of a batch; others have none."""
    if not is_list(item) or len(item) == 0:
        return item, None
    image, *others = item
    return image, others[0] if others and _label_type(others[0]) in "iu" else None


def _as_labels(label: Any, images: NDArray[Any]) -> NDArray[Any] | None:
    """Labels, one for each image; None if something else came with the images."""
    if label is None or not images.ndim:
        return None
    labels = np.atleast_1d(as_numpy(label, "labels"))
    return labels if labels.shape == images.shape[:1] and labels.dtype.kind in "iu" else None


def _is_indexed(data: Any) -> bool:
    """Whether something is a data set whose elements have numbers; torch's others only seem to."""
    return hasattr(data, "__getitem__") and hasattr(data, "__len__")


def _is_iterable_dataset(data: Any) -> bool:
    return any(kind.__name__ == "IterableDataset" for kind in type(data).__mro__)


def _count(data: Any) -> int | None:
    """How many images a data set or a DataLoader gives, if it says so."""
    try:
        if _is_indexed(data):
            return len(data)
        size = len(data.sampler)
        return size // data.batch_size * data.batch_size if data.drop_last else size
    except (AttributeError, TypeError, NotImplementedError):
        return None


def as_numpy(values: Any, where: str) -> NDArray[Any]:
    """A numpy array of numbers from an array, a torch tensor, a PIL image, or lists of these or of numbers.

    Whatever is not the array itself becomes one with the same values: sparse tensors are filled with zeros, bfloat16
    becomes float32, PIL images of mode L or RGB become ``(C, H, W)``. Strides are positive, bytes in the usual order.

    Raises
    ------
    InputError
        If that cannot be, or values are masked.
    """
    try:
        array = _array(values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except Exception as error:  # it depends on where they come from
        raise InputError(f"{where}: expected an array or tensor: {error}") from error
    if array.dtype.kind == "O":
        raise InputError(f"{where}: expected an array, a tensor or a list of them, found {_kind(values)}")
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return array if min(array.strides, default=0) >= 0 else np.ascontiguousarray(array)


def _kind(values: Any) -> str:
    return f"{type(values).__name__} of objects" if hasattr(values, "dtype") else type(values).__name__


def _array(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):
        return _of_tensor(values)
    if hasattr(values, "getbands"):
        return _of_picture(values)
    if isinstance(values, _MA.MaskedArray) and _MA.is_masked(values):
        raise InputError(f"expected numbers, found {counted(_MA.count_masked(values), 'masked value')}; fill them")
    if is_list(values) and not isinstance(_first(values), PLAIN):
        return _stacked([_array(value) for value in values])
    return np.asarray(values)


def _first(values: Any) -> Any:
    """The first element that is no list, or 0."""
    for _ in range(DEEPEST):
        if not is_list(values):
            return values
        values = values[0] if values else 0
    return 0


def _stacked(parts: list[NDArray[Any]]) -> NDArray[Any]:
    types = sorted({str(part.dtype) for part in parts})
    if len(types) > 1:
        raise InputError(f"expected a list of arrays of one type, found {' and '.join(types)}")
    return np.stack(parts)


def _of_tensor(tensor: Any) -> NDArray[Any]:
    import torch

    values = tensor.detach()
    values = values if values.layout == torch.strided else values.to_dense()
    if values.is_floating_point() and values.dtype not in (torch.float16, torch.float32, torch.float64):
        values = values.to(torch.float32)  # of formats that numpy does not have, all of which it holds
    return values.cpu().resolve_conj().resolve_neg().numpy()


def _of_picture(image: Any) -> NDArray[Any]:
    if image.mode not in ("L", "RGB"):
        raise InputError(f"expected PIL images of mode 'L' or 'RGB', found {image.mode!r}; use convert('RGB') on it")
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
