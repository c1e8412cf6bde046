"""`read_network`: the network in a file of any supported format."""

import os

from lava_aug.core.errors import InputError
from lava_aug.core.network import Network
from lava_aug.netx.hdf5 import Reader, opened
from lava_aug.netx.networks import FORMAT, load
from lava_aug.netx.sdnn_files import read_sdnn
from lava_aug.netx.sigma_delta import SigmaDeltaNetwork
from lava_aug.netx.stock_files import SIGMA_DELTA, StockNetwork, load_netx
from lava_aug.nir.files import from_nir

READERS = {FORMAT: load, SIGMA_DELTA: read_sdnn, "nir": from_nir}
"""By what a file says that it is; any other may be one of lava-dl's."""


def read_network(
    path: str | os.PathLike[str], num_layers: int | None = None
) -> Network | StockNetwork | SigmaDeltaNetwork:
    """Read a network from a file written by `save`, `to_nir`, `export_sdnn`, lava-dl, or another NIR tool.

    Parameters
    ----------
    path : path
        The file.
    num_layers : int, optional
        For lava-dl's files: read only this many layers.

    Returns
    -------
    Network, StockNetwork or SigmaDeltaNetwork
        What `load` or `from_nir`, `load_netx`, or `export_sdnn` (as its ``network``) returns.

    Raises
    ------
    InputError
        If ``num_layers`` is given for a file that is not lava-dl's.
    FileError
        If the file cannot be read.
    """
    with opened(path) as file:
        root = Reader(file, "file")
        kind = "nir" if root.is_group("node") and "layer" not in root else root.attribute("format")
    if kind not in READERS:
        return load_netx(path, num_layers)
    if num_layers is not None:
        raise InputError("num_layers: only files of lava-dl's can be read in part")
    return READERS[kind](path)
