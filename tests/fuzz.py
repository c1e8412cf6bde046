"""Malformed network files: valid ones, damaged in ways that a seed chooses, and what readers do with them."""

import functools
import random
import re
import shutil
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import nir
import numpy as np
from examples import table
from nets import SKIPS, layer, skip_net

from lava_aug.core.errors import ExportWarning, LavaAugError
from lava_aug.core.fidelity import Fidelity
from lava_aug.core.layers import Conv, ConvTranspose, Dense, Scale, Sparse, SumPool
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron, MaxPoolNeuron, Neuron, RateNeuron
from lava_aug.formats import FORMATS, read_network
from lava_aug.netx.foreign import NetxNetwork
from lava_aug.netx.hdf5 import opened
from lava_aug.netx.hdf5_bytes import MAX_FILE_BYTES
from lava_aug.netx.layers import Cuba, NetxConv, NetxDense, NetxFlatten, NetxInput, SigmaDelta
from lava_aug.netx.networks import save
from lava_aug.nir.files import export


def read_as(name: str, path: Path) -> Any:
    """The network of a file that is taken for one of a format."""
    with opened(path) as root:
        return FORMATS[name].read(root)


READERS: dict[str, Callable[[Path], Any]] = {
    **{name: functools.partial(read_as, name) for name in FORMATS},
    "any": read_network,
}
"""What reads files that nobody vouches for: it gives an object or a `LavaAugError`, whatever the file."""

BLOCK = 1 << 24
"""Bytes of a compressed block in bombs; it compresses to a thousandth."""


MOST = 1 << 16
"""Most elements of an array that another damage is done to."""


class Outcome(NamedTuple):
    """What a reader did: ``"read"``, or the class of its error; the error, if it is none of ours; and the time."""

    kind: str
    foreign: str
    seconds: float


def attempt(reader: str, path: Path) -> Outcome:
    """Let a reader have a file."""
    start = time.process_time()
    kind, foreign = "read", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExportWarning)  # of what is assumed of graphs
            READERS[reader](path)
    except LavaAugError as error:
        kind = "damaged" if "damaged, or not an HDF5 file" in str(error) else type(error).__name__
    except BaseException as error:
        kind, foreign = type(error).__name__, repr(error)
    return Outcome(kind, foreign, time.process_time() - start)


def with_other_bytes(whole: bytes, numbers: Sequence[int], seeds: int, *, cut: bool = False) -> Iterator[bytes]:
    """For each seed, a file with one of these numbers of bytes overwritten; a third of them cut, on request."""
    for rng in map(random.Random, range(seeds)):
        data = bytearray(whole)
        for _ in range(rng.choice(numbers)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        yield bytes(data[: rng.choice([len(data), len(data), rng.randrange(len(data))])] if cut else data)


# Valid files


def network() -> Network:
    """Many types of layers and parameters, an array for each kind among them."""
    kernel = np.arange(1, 19).reshape(2, 1, 3, 3)
    entries = {"weight": np.array([1, 2]), "rows": np.array([0, 3]), "columns": np.array([1, 2])}
    return Network(
        input_shape=(1, 6, 6),
        layers=(
            layer("conv", INPUT, Conv(weight=kernel, padding=(1, 1)), AugmentedNeuron(vth=np.array([[[9]], [[7]]]))),
            layer("up", "conv", ConvTranspose(weight=kernel, stride=(2, 2)), AugmentedNeuron(vth=3, n_max=7)),
            layer("max", "up", Scale(weight=np.ones(1, int), offset=1, channels=2), MaxPoolNeuron(kernel_size=(2, 2))),
            layer("pick", "max", Sparse(**entries, shape=(2, 2)), table([-2, 0, 9], low=-1, function="bend")),
            layer("out", "pick", Dense(weight=np.arange(12).reshape(3, 4)), bias=np.array([1, 2, 3])),
        ),
        fidelity=Fidelity(num_images=9, correlation=0.5, agreement=0.25),
    )


def stock_network(neuron: type) -> NetxNetwork:
    """Every type of layer, biases and delays."""
    lif = Cuba(vth=10, current_decay=1024, voltage_decay=128) if neuron is Cuba else SigmaDelta(vth=3)
    conv = NetxConv(
        shape=(2, 4, 3),
        weight=np.arange(-9, 9).reshape(2, 1, 3, 3),
        bias=np.array([1, -1]),
        neuron=lif,
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        groups=1,
    )
    delay = np.array([0, 1, 62]) if neuron is Cuba else None
    return NetxNetwork(
        layers=(
            NetxInput(shape=(1, 6, 5), neuron=lif, weight=np.array(64.0), bias=np.array(0)),
            conv,
            NetxFlatten(shape=(24,)),
            NetxDense(shape=(3,), weight=np.arange(-30, 42).reshape(3, 24), delay=delay, neuron=lif),
            NetxDense(shape=(2,), weight=np.array([[1, 2, 3], [4, 5, -6]]), neuron=None if neuron is Cuba else lif),
        ),
        sample_steps=16,
    )


def valid_files(folder: Path) -> list[Path]:
    """Write the files that damage starts from; stock ones with texts as lava-dl writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    save(network(), folder / "ours.net")
    save(skip_net(SKIPS["all"]), folder / "skips.net")
    for neuron in (Cuba, SigmaDelta):
        path = folder / f"{neuron.type_name}.net"
        stock_network(neuron).write(path)
        with h5py.File(path, "r+") as file:
            for name in members(file):
                if name.endswith("neuron/type"):
                    text = bytes(file[name][()])  # pyright: ignore
                    del file[name]
                    file[name] = text.decode()
    save_graphs(folder)
    return sorted(folder.glob("*.n[ei]?"))


def graph_network(neuron: Neuron) -> Network:
    """What NIR has nodes for."""
    kernel = np.arange(1, 19).reshape(2, 1, 3, 3)
    return Network(
        input_shape=(1, 6, 6),
        layers=(
            layer("conv", INPUT, Conv(weight=kernel, padding=(1, 1)), neuron, bias=np.array([[[3]], [[-2]]])),
            layer("pool", "conv", SumPool(kernel_size=(2, 2), stride=(2, 2)), neuron),
            layer("out", "pool", Dense(weight=np.arange(54).reshape(3, 18)), bias=np.array([1, 2, 3])),
        ),
    )


def save_graphs(folder: Path) -> None:
    """Graphs of NIR: ours, and one as other tools write it, without metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExportWarning)
        ours, foreign = export(graph_network(AugmentedNeuron(vth=9))), export(graph_network(RateNeuron(vth=9)))
    foreign.metadata = {}
    nir.write(folder / "ours.nir", ours)
    nir.write(folder / "foreign.nir", foreign)


def members(file: h5py.File) -> list[str]:
    """Names of all groups and datasets, as they were written."""
    found: list[str] = []
    file.visit(found.append)
    return sorted(found)


# Damage

Damage = Callable[[h5py.File, random.Random], None]


def _dataset(file: h5py.File, rng: random.Random, longer: bool = False) -> str:
    names = [name for name in members(file) if isinstance(file[name], h5py.Dataset)]
    return rng.choice([name for name in names if not longer or name.endswith(("weight", "bias", "shape"))] or names)


def _nodes(file: h5py.File) -> str:
    """The group that has the layers."""
    return "layer" if "layer" in file else "node/nodes"


def _replaced(file: h5py.File, name: str, **options: Any) -> Any:
    del file[name]
    return file.create_dataset(name, **options)


def remove(file: h5py.File, rng: random.Random) -> None:
    """A dataset or a group is gone."""
    del file[rng.choice(members(file))]


def rename(file: h5py.File, rng: random.Random) -> None:
    """One has another name, of any bytes."""
    name = rng.choice(members(file))
    parent, _, _ = name.rpartition("/")
    file.move(name, f"{parent}/{rng.choice(['x', '7', 'weight', 'Ω' * 300, '..', 'neuron'])}{rng.random()}")


def wrong_value(file: h5py.File, rng: random.Random) -> None:
    """A dataset holds something else."""
    values = [
        *(0, -1, 1 << 62, -(1 << 63), (1 << 64) - 1, 1.5, float("nan"), float("inf"), True, 3 + 4j),
        *("", "text", "é" * 5000, b"\xff\xfe", [], [0], [1, 2, 3], [[1 << 40] * 3] * 3, [float("nan")] * 4),
        *(np.zeros((0, 3)), np.ones((2,) * 20, np.int8), np.array([b"input"]), np.array([b"x" * 100_000])),
        *(np.float16(3), np.longdouble(5), np.datetime64("2020-01-01").astype("i8"), h5py.Empty("f4")),
    ]
    name = _dataset(file, rng)
    del file[name]
    file[name] = rng.choice(values)


def wrong_type(file: h5py.File, rng: random.Random) -> None:
    """References, compound and variable-length types, arrays as elements, enumerations, opaque bytes."""
    types: list[Any] = [
        *(h5py.ref_dtype, h5py.regionref_dtype, h5py.vlen_dtype(np.int32), h5py.string_dtype(), np.dtype("V17")),
        np.dtype([("a", "f4"), ("b", h5py.string_dtype())]),
        *(np.dtype(("f4", (1000, 1000))), h5py.enum_dtype({"no": 0}), h5py.string_dtype(length=1 << 20)),
        *(">i8", ">f2", "u1", "i2", "c16"),
    ]
    shape = rng.choice([(), (1,), (3,), (2, 2), (1000,)])
    _replaced(file, _dataset(file, rng), shape=shape, dtype=rng.choice(types))


def wrong_shape(file: h5py.File, rng: random.Random) -> None:
    """The same numbers in another shape, or more of them."""
    name = _dataset(file, rng, longer=True)
    found: Any = file[name]
    if found.size is None or found.size > MOST:
        return
    old = np.ravel(np.asarray(found))
    shapes = [(old.size,), (1, old.size), (old.size, 1), (1,) * 31 + (old.size,)]
    data = rng.choice(
        [old.reshape(rng.choice(shapes)), np.repeat(old, rng.randint(2, 500)), old[:1], old[: old.size // 2]]
    )
    _replaced(file, name, data=data)


def huge(file: h5py.File, rng: random.Random) -> None:
    """Nothing is stored, but any size is claimed."""
    shape = rng.choice(
        [(1 << 40,), (1 << 20, 1 << 20), (1 << 32, 1 << 32), (1 << 24, 7), (1 << 27,), (3, 1 << 25), (1 << 62,)]
    )
    dtype = rng.choice(["i1", "f4", "i8", "S7", h5py.string_dtype()])
    options = {"chunks": tuple(min(size, 1 << 10) for size in shape)} if rng.random() < 0.8 else {}
    _replaced(file, _dataset(file, rng, longer=rng.random() < 0.7), shape=shape, dtype=dtype, **options)


@functools.cache
def compressed(value: int) -> bytes:
    """A block that is full of one byte."""
    return zlib.compress(bytes([value]) * BLOCK, 1)


def bomb(file: h5py.File, rng: random.Random) -> None:
    """A few kilobytes that decompress to as much as is read, or more."""
    blocks = rng.choice([1, MAX_FILE_BYTES // BLOCK, MAX_FILE_BYTES // BLOCK + 1, 1000])
    dtype = np.dtype(rng.choice(["i1", "u1", "f4", "i8"]))
    size = blocks * BLOCK // dtype.itemsize
    shape, chunks = rng.choice(
        [((size,), (size // blocks,)), ((1, size), (1, size // blocks)), ((size, 1), (size // blocks, 1))]
    )
    found = _replaced(
        file, _dataset(file, rng, longer=True), shape=shape, dtype=dtype, chunks=chunks, compression="gzip"
    )
    block = compressed(rng.randrange(2))
    for index in range(min(blocks, MAX_FILE_BYTES // BLOCK)):
        place = [0] * len(shape)
        place[int(np.argmax(shape))] = index * size // blocks
        found.id.write_direct_chunk(tuple(place), block)


def big_block(file: h5py.File, rng: random.Random) -> None:
    """A small array in a block that is larger than it."""
    size = rng.choice([1 << 20, 1 << 28, (1 << 32) - 1])
    _replaced(
        file,
        _dataset(file, rng, longer=True),
        shape=(4,),
        maxshape=(None,),
        dtype="i1",
        chunks=(size,),
        compression="gzip",
    )


def layers_without_end(file: h5py.File, rng: random.Random) -> None:
    """Very many groups, texts or attributes."""
    for index in range(rng.choice([10, 300])):
        file.create_group(f"{_nodes(file)}/{100 + index * rng.randint(1, 2)}")
    if "layer/1/inputs" in file:
        _replaced(file, "layer/1/inputs", data=np.array([b"a"] * rng.choice([2, 5000, 1 << 20])))
    elif "node/edges" in file:
        _replaced(file, "node/edges", data=np.array([[b"input", b"output"]] * rng.choice([2, 5000, 1 << 19])))
    file[_nodes(file)].attrs["x"] = np.zeros(1000)


def link(file: h5py.File, rng: random.Random) -> None:
    """A member is a link: soft, external, to itself, to a parent."""
    name = rng.choice(members(file))
    target = rng.choice(
        [
            h5py.SoftLink(rng.choice([f"/{_nodes(file)}", f"/{name}", "/nowhere", "../.."])),
            h5py.ExternalLink(
                rng.choice(["/etc/passwd", "other.net", file.filename]), rng.choice(["/", f"/{_nodes(file)}", name])
            ),
            file[_nodes(file)],
            file,
        ]
    )
    del file[name]
    file[name] = target


def outside(file: h5py.File, rng: random.Random) -> None:
    """The numbers are said to be in another file: external storage, or a virtual dataset."""
    name = _dataset(file, rng)
    if rng.random() < 0.5:
        _replaced(file, name, shape=(8,), dtype="i1", external=[("/etc/passwd", 0, 8)])
        return
    layout = h5py.VirtualLayout(shape=(4,), dtype="i4")
    layout[:] = h5py.VirtualSource(rng.choice(["/etc/hosts", file.filename]), name, shape=(4,))
    del file[name]
    file.create_virtual_dataset(name, layout)


def filters(file: h5py.File, rng: random.Random) -> None:
    """Filters that HDF5 would have to load, or that are there but not ours."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    code = rng.choice([h5py.h5z.FILTER_LZF, h5py.h5z.FILTER_SCALEOFFSET, h5py.h5z.FILTER_NBIT])
    if code == h5py.h5z.FILTER_SCALEOFFSET:
        plist.set_scaleoffset(h5py.h5z.SO_INT, 3)
    else:
        plist.set_filter(code, h5py.h5z.FLAG_OPTIONAL)
    name = _dataset(file, rng, longer=True)
    del file[name]
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_INT32, space, plist)


def attributes(file: h5py.File, rng: random.Random) -> None:
    """The file's own attributes are missing, or something else."""
    values: list[Any] = [
        *(
            "nir",
            7,
            [1, 2],
            np.zeros(4000),
            "x" * 10_000,
            h5py.Empty("f4"),
            b"\xff",
            file.ref,
            1.5,
            np.array([b"lava-aug"]),
        ),
    ]
    name = rng.choice(["format", "format_version", "method", "resolution"])
    if name in file.attrs:
        del file.attrs[name]
    if rng.random() < 0.8:
        file.attrs.create(name, rng.choice(values))


def swap(file: h5py.File, rng: random.Random) -> None:
    """A member takes another's place: groups for datasets, layers for layers."""
    one, other = rng.choice(members(file)), rng.choice(members(file))
    if one.startswith(other) or other.startswith(one):
        return
    copied = f"copied{rng.random()}"
    file.copy(other, copied)
    del file[one]
    file.move(copied, one)


DAMAGE: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (
        *(remove, rename, wrong_value, wrong_type, wrong_shape, huge, bomb, big_block, layers_without_end),
        *(link, outside, filters, attributes, swap),
    )
}
"""What is done through HDF5, by name."""


def flip(data: bytearray, rng: random.Random) -> bytes:
    """Single bits and bytes, everywhere or where the structure is."""
    for _ in range(rng.choice([1, 1, 2, 5, 50])):
        place = rng.randrange(len(data) if rng.random() < 0.6 else min(len(data), 2048))
        data[place] = rng.choice([data[place] ^ (1 << rng.randrange(8)), rng.randrange(256), 0, 255])
    return bytes(data)


def structure(data: bytearray, rng: random.Random) -> bytes:
    """Bytes behind one of HDF5's own signatures: heaps, trees, tables, headers, and the file's."""
    places = [match.start() for match in re.finditer(rb"GCOL|TREE|SNOD|HEAP|HDF\r", data)]
    for _ in range(rng.choice([1, 1, 3])):
        place = min(rng.choice(places) + rng.randrange(160), len(data) - 1)
        data[place] = rng.choice([rng.randrange(256), 0, 255, data[place] ^ 1])
    if rng.random() < 0.1:  # one refers to another, or to itself
        addresses = [place.to_bytes(8, "little") for place in places]
        found = rng.choice(places) + 8 * rng.randrange(1, 12)
        data[found : found + 8] = rng.choice(addresses)
    return bytes(data)


def cut(data: bytearray, rng: random.Random) -> bytes:
    """The end is missing."""
    return bytes(data[: rng.randrange(len(data))])


def overwrite(data: bytearray, rng: random.Random) -> bytes:
    """A stretch of zeros, ones, noise or something from elsewhere in the file."""
    length = rng.choice([4, 8, 64, 1024])
    start, other = rng.randrange(len(data)), rng.randrange(len(data))
    data[start : start + length] = rng.choice(
        [bytes(length), b"\xff" * length, rng.randbytes(length), data[other : other + length]]
    )
    return bytes(data)


def insert(data: bytearray, rng: random.Random) -> bytes:
    """Everything behind a place has moved."""
    start = rng.randrange(len(data))
    return bytes(data[:start] + rng.randbytes(rng.choice([1, 8, 512])) + data[start:])


def noise(data: bytearray, rng: random.Random) -> bytes:
    """No HDF5 at all, perhaps with its signature."""
    return rng.choice([b"", b"\x89HDF\r\n\x1a\n", bytes(data[:96])]) + rng.randbytes(rng.randrange(5000))


BYTE_DAMAGE: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    damage.__name__: damage for damage in (flip, structure, cut, overwrite, insert, noise)
}
"""What is done to the bytes, by name."""


def damaged(seed: int, valid: list[Path], target: Path) -> str:
    """Write the file of a seed; the names of what was done to which file."""
    rng = random.Random(seed)
    source = valid[seed % len(valid)]
    shutil.copy(source, target)
    done = []
    if rng.random() < 0.6:
        with h5py.File(target, "r+") as file:
            for name in rng.choices(list(DAMAGE), k=rng.choice([1, 1, 1, 2])):
                try:
                    DAMAGE[name](file, rng)
                    done.append(name)
                except (
                    KeyError,
                    ValueError,
                    TypeError,
                    OSError,
                    RuntimeError,
                ):  # what the damage before made impossible
                    continue
    if not done or rng.random() < 0.1:
        name = rng.choice([*BYTE_DAMAGE, "flip", "flip", "structure", "structure"])
        target.write_bytes(BYTE_DAMAGE[name](bytearray(target.read_bytes()), rng))
        done.append(name)
    return f"{source.name}: {', '.join(done)}"
