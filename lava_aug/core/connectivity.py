"""Who feeds whom through a synapse, whatever the weights: fan-in, fan-out and counts follow from one declaration."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


class Block(NamedTuple):
    """Connections along one or more axes.

    Attributes
    ----------
    fan_in, fan_out : numpy.ndarray
        Synapses into each output, and out of each input, int64.
    matrix : callable
        Makes the array of counts, ``(outputs, inputs)``, plain or scipy's sparse ones.
    """

    fan_in: NDArray[Any]
    fan_out: NDArray[Any]
    matrix: Callable[[], Any]


def one_to_one(count: int) -> Block:
    """Each input to the output of the same place."""
    each = np.ones(count, np.int64)
    return Block(each, each, lambda: _counts(np.arange(count), np.arange(count), count, count))


def all_to_all(outputs: int, inputs: int) -> Block:
    """Each input to each output."""
    fan_in, fan_out = np.full(outputs, inputs, np.int64), np.full(inputs, outputs, np.int64)
    return Block(fan_in, fan_out, lambda: np.ones((outputs, inputs), np.int64))


def listed(rows: NDArray[Any], columns: NDArray[Any], outputs: int, inputs: int) -> Block:
    """One synapse for each pair of an output (``rows``) and an input (``columns``)."""
    fan_in, fan_out = np.bincount(rows, minlength=outputs), np.bincount(columns, minlength=inputs)
    return Block(fan_in, fan_out, lambda: _counts(rows, columns, outputs, inputs))


def _counts(rows: NDArray[Any], columns: NDArray[Any], outputs: int, inputs: int) -> Any:
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(rows), np.int64), (rows, columns)), shape=(outputs, inputs))


class Connectivity:
    """Synapses between inputs and outputs of given shapes: the Kronecker product of blocks, over axes in C order.

    Parameters
    ----------
    input_shape, output_shape : tuple of int
        Of the spikes and of the input current.
    *blocks : Block
        From the first axes to the last: ``[all_to_all(out, in), one_to_one(height * width)]`` is a 1x1 convolution.

    Examples
    --------
    >>> found = Connectivity((2, 3), (1, 3), all_to_all(1, 2), one_to_one(3))
    >>> found.fan_in.tolist(), found.fan_out.tolist(), found.count
    ([[2, 2, 2]], [[1, 1, 1], [1, 1, 1]], 6)
    >>> found.matrix().toarray()
    array([[1, 0, 0, 1, 0, 0],
           [0, 1, 0, 0, 1, 0],
           [0, 0, 1, 0, 0, 1]])
    """

    def __init__(self, input_shape: Shape, output_shape: Shape, *blocks: Block) -> None:
        self.input_shape, self.output_shape, self.blocks = input_shape, output_shape, blocks

    @property
    def fan_in(self) -> NDArray[Any]:
        """Synapses into each output, int64 ``output_shape``."""
        return _product([block.fan_in for block in self.blocks]).reshape(self.output_shape)

    @property
    def fan_out(self) -> NDArray[Any]:
        """Synapses out of each input, int64 ``input_shape``."""
        return _product([block.fan_out for block in self.blocks]).reshape(self.input_shape)

    @property
    def count(self) -> int:
        """All synapses."""
        return int(np.prod([block.fan_in.sum() for block in self.blocks], dtype=object))

    def matrix(self) -> Any:
        """How many synapses lead from each input to each output, both flattened.

        Returns
        -------
        scipy.sparse.csr_array of int64, shape (outputs, inputs)
            0 and 1, as no synapse of ours connects two neurons twice. It has `count` entries: not for large layers.
        """
        from scipy import sparse

        product = functools.partial(sparse.kron, format="csr")  # blocks of zeros are not stored
        return sparse.csr_array(functools.reduce(product, [block.matrix() for block in self.blocks]), dtype=np.int64)


def _product(counts: list[NDArray[Any]]) -> NDArray[Any]:
    return functools.reduce(np.multiply.outer, counts)
