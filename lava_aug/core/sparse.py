"""The sparse matrix: paddings, permutations, slices, upsampling, uneven pooling."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from lava_aug.core.errors import SpecError
from lava_aug.core.spec import array, registered, shape
from lava_aug.core.synapse import SYNAPSES, Connectivity, Shape, Weighted, listed

if TYPE_CHECKING:
    pass


@registered(SYNAPSES)
class Sparse(Weighted):
    """Any linear map, as the entries of a sparse matrix::

        a.flat[rows[k]] += weight[k] * s.flat[columns[k]]

    Takes spikes of any shape, flattened in C order, as long as every column is one of them. Entries are sorted by row,
    then column, and no place is there twice, so that equal matrices are equal objects.

    Examples
    --------
    >>> Sparse(weight=[1, 2, 3], rows=[0, 0, 3], columns=[1, 2, 0], shape=(2, 2)).accumulate(np.array([[5, 6, 7]]))
    array([[[20,  0],
            [ 0, 15]]])
    """

    type_name = "sparse"
    flattens = True

    weight: NDArray[Any] = array(ndim=1, stored_as="weight", doc="one weight for each entry")
    rows: NDArray[Any] = array(ndim=1, stored_as="rows", doc="output of each entry, index into the flattened result")
    columns: NDArray[Any] = array(
        ndim=1, stored_as="columns", doc="input of each entry, index into the flattened spikes"
    )
    shape: Shape = shape(stored_as="outShape", doc="shape of the result")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.rows) == len(self.columns) == len(self.weight):
            raise SpecError(
                f"Sparse: expected a row and a column for each weight, found {len(self.weight)} weights, "
                f"{len(self.rows)} rows and {len(self.columns)} columns"
            )
        _check_indices("rows", self.rows, math.prod(self.shape))
        _check_indices("columns", self.columns, None)
        self._check_order()

    def _check_order(self) -> None:
        rows, columns = self.indices()
        later = (np.diff(rows) > 0) | ((np.diff(rows) == 0) & (np.diff(columns) > 0))
        if not later.all():
            k = int(np.argmin(later))
            raise SpecError(
                "Sparse: entries must be sorted by row, then column, and no place be there twice, but "
                f"({rows[k + 1]}, {columns[k + 1]}) comes after ({rows[k]}, {columns[k]}); Sparse.from_scipy sorts them"
            )

    @classmethod
    def from_scipy(cls, matrix: Any, shape: Shape) -> Self:
        """The synapse of a matrix.

        Parameters
        ----------
        matrix : scipy sparse array or matrix, or array, shape (prod(shape), inputs)
            Integers or floats. Entries of the same place are added up; zeros that are stored stay.
        shape : tuple of int
            Shape of the result.

        Raises
        ------
        SpecError
            If the matrix has not one row for each neuron of the result, or no entry.
        """
        from scipy.sparse import csr_array

        compressed: Any = csr_array(matrix, copy=True)
        if compressed.shape[0] != math.prod(shape):
            raise SpecError(
                f"Sparse: expected a matrix of {math.prod(shape)} rows for {shape}, found {compressed.shape}"
            )
        compressed.sum_duplicates()  # sorts, too
        entries = compressed.tocoo()
        rows, columns = entries.coords if hasattr(entries, "coords") else (entries.row, entries.col)
        return cls(weight=entries.data, rows=rows, columns=columns, shape=shape)

    @classmethod
    def from_map(cls, matrix: Any, shape: Shape) -> Self:
        """As `from_scipy`; a matrix without entries gets one of zero."""
        from scipy.sparse import csr_array

        return cls.from_scipy(matrix if matrix.nnz else csr_array(([0], ([0], [0])), shape=matrix.shape), shape)

    def to_scipy(self, input_size: int) -> Any:
        """The matrix for so many inputs, a `scipy.sparse.csr_array` ``(prod(shape), input_size)``."""
        from scipy.sparse import csr_array

        self.output_shape((input_size,))
        return csr_array((self.weight, self.indices()), shape=(math.prod(self.shape), input_size))

    def indices(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Rows and columns in 64 bits, in which differences of them fit."""
        return self.rows.astype(np.int64), self.columns.astype(np.int64)

    @property
    def is_gather(self) -> bool:
        """Whether every output is an input or nothing: permutations, slices, paddings, nearest upsampling."""
        return bool((self.weight == 1).all() and (np.diff(self.indices()[0]) > 0).all())

    @property
    def weight_sum(self) -> float:
        first = np.flatnonzero(np.diff(self.indices()[0], prepend=-1))
        return float(np.add.reduceat(np.abs(self.weight.astype(np.float64)), first).max())

    def output_shape(self, input_shape: Shape) -> Shape:
        needed = int(self.columns.max()) + 1
        if math.prod(input_shape) < needed:
            raise SpecError(
                f"Sparse: expected at least {needed} inputs, found {math.prod(input_shape)} (shape {input_shape})"
            )
        return self.shape

    def accumulate(self, s: NDArray[Any]) -> NDArray[Any]:
        s, weight = self._exact(s)
        a = np.zeros((len(s), math.prod(self.shape)), s.dtype)
        rows, columns = self.indices()
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        a[:, rows[first]] = np.add.reduceat(s.reshape(len(s), -1)[:, columns] * weight, first, axis=1)
        return a.reshape(len(s), *self.shape)

    def connectivity(self, input_shape: Shape) -> Connectivity:
        shape = self.output_shape(input_shape)
        return Connectivity(input_shape, shape, listed(*self.indices(), math.prod(shape), math.prod(input_shape)))

    def matrix(self, input_shape: Shape) -> Any:
        return self.to_scipy(math.prod(input_shape)).astype(np.float64)

    def row_factors(self, factors: NDArray[Any], input_shape: Shape) -> NDArray[Any]:
        return factors.reshape(-1)[self.rows]

    def column_factors(self, factors: NDArray[Any], input_shape: Shape) -> NDArray[Any]:
        return factors.reshape(-1)[self.columns]

    def channel_rows(self, input_shape: Shape) -> list[NDArray[Any]]:
        ends = np.searchsorted(self.rows // math.prod(self.shape[1:]), np.arange(1, self.shape[0]))
        return np.split(self.weight.astype(np.float64), ends)

    def describe(self) -> str:
        return "gather" if self.is_gather else "sparse"


def _check_indices(name: str, indices: NDArray[Any], size: int | None) -> None:
    low, high = indices.min(), indices.max()
    if indices.dtype.kind == "f" or low < 0 or (size is not None and high >= size):
        limits = "of at least 0" if size is None else f"from 0 to {size - 1}"
        raise SpecError(f"Sparse.{name}: expected integers {limits}, found {indices.dtype} from {low} to {high}")
