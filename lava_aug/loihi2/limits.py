"""The public limits of Intel's Loihi 2, each with its source, and what is not public.

No number here was measured: nothing has been run on the chip itself. Intel shares the full documentation with members
of its research community (INRC) only, so the limits come from publications and from Lava's open-source code.
"""

import dataclasses

SOURCES = {
    "brief": 'Intel Labs, "Taking Neuromorphic Computing to the Next Level with Loihi 2", technology brief, 2021',
    "WikiChip": "WikiChip, Loihi 2 - Intel, https://en.wikichip.org/wiki/intel/loihi_2, 2021",
    "Open Neuromorphic": "Open Neuromorphic, Loihi 2 - Intel, "
    "https://open-neuromorphic.org/neuromorphic-computing/hardware/loihi-2-intel/",
    "Tom's Hardware": "A. Shilov, Intel Reveals 4nm Loihi 2 Neuromorphic Research Chip, Tom's Hardware, 2021",
    "Lava Dense": "lava-nc 0.10.0, lava/proc/dense/models.py, PyDelayDenseModelBitAcc",
    "Lava GradedVec": "lava-nc 0.10.0, lava/proc/graded/models.py, PyGradedVecModelFixed",
    "Lava LIF": "lava-nc 0.10.0, lava/proc/lif/models.py, PyLifModelBitAcc",
    "netx": "lava-dl 0.6.0, lava/lib/dl/netx/utils.py, num_delay_bits",
    "nengo-loihi": "nengo-loihi 1.1.0, nengo_loihi/block.py, of the first Loihi",
}
"""Who says what, by a short name."""


@dataclasses.dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes
    ----------
    what : str
        What is limited.
    value : int
        The largest that fits.
    unit : str
        Unit of the value; empty for plain counts.
    sources : tuple of str
        Who says so, names in `SOURCES`.
    loihi1 : int or None
        The same of the first Loihi, for comparison, where it is known.
    """

    what: str
    value: int
    unit: str
    sources: tuple[str, ...]
    loihi1: int | None = None

    def __str__(self) -> str:
        return f"{self.value:,} {self.unit}".rstrip()


LIMITS = {
    "cores": Limit("neuromorphic cores per chip", 128, "", ("brief", "WikiChip"), 128),
    "neurons": Limit("neurons per chip", 1_000_000, "", ("brief", "Open Neuromorphic"), 131_072),
    "synapses": Limit("synapses per chip", 120_000_000, "", ("brief", "Open Neuromorphic"), 130_000_000),
    "neurons_per_core": Limit("neurons per core", 8192, "", ("WikiChip",), 1024),
    "memory": Limit("memory per core, for all purposes", 192 * 1024, "bytes", ("brief", "Tom's Hardware")),
    "neuron_state": Limit("state per neuron", 4096, "bytes", ("brief", "Tom's Hardware"), 24),
    "payload": Limit("payload of a graded spike", 32, "bits", ("brief", "Open Neuromorphic"), 1),
    "lava_payload": Limit("payload of a graded spike in Lava", 24, "bits", ("Lava GradedVec",)),
    "weight": Limit("signed weight in Lava, besides its exponent", 8, "bits", ("Lava Dense",)),
    "state": Limit("membrane potential in Lava", 24, "bits", ("Lava LIF",), 24),
    "delay": Limit("synaptic delay (6 bits; netx reserves one value)", 62, "time steps", ("Lava Dense", "netx")),
    "axons": Limit("axons into, or out of, a core (first Loihi)", 4096, "", ("nengo-loihi",), 4096),
}
"""Every limit by name. Memory is counted in units of 1,024 bytes, on which the sources are silent."""

NOT_PUBLIC = (
    "how synapses are stored: estimates count the bits of the weights alone, with each weight stored once for the "
    "minimum (convolutions share their weights), and once per synapse for the maximum",
    "how much memory a neuron's state takes: estimates count 4 bytes per variable",
    "how much memory axons, routing tables and microcode take: estimates leave them out",
    "how many axons a core has: the first Loihi's number is used instead",
    "which instructions microcode has, beyond arithmetic, comparison and control flow: a division may need a loop",
    "how a neuron could keep its inputs separate, which max pooling needs",
    "how wide integers of microcode may be: functions by a table need up to 63 bits on the way",
)
"""What is not public, and what the estimates do instead."""
