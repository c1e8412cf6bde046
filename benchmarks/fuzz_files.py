"""Malformed files by the thousand: what the readers do with them, and what it costs.

    uv run python benchmarks/fuzz_files.py --count 10000

Every reader gets every file, in a process of its own, which is watched: it must give an object or one of our errors
(never another, and no crash), within 5 s of processor time, and with less than 1 GB of memory. Exits with 1 if one did
not. A seed that is named can be looked at again with ``--first SEED --count 1``. Peaks of memory are those of the
reading process, libraries included, reset before every file (``/proc/self/clear_refs``, Linux).
"""

import argparse
import json
import select
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MAX_SECONDS, MAX_BYTES = 5.0, 1_000_000_000
NOTHING = {"seconds": 0.0, "peak": 0}
PATIENCE = 60.0
"""Seconds without a word after which the reading process is taken for hanging."""


def peak() -> int:
    """Largest resident memory since the last reset, in bytes; and reset it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return found * 1024


def read(first: int, count: int) -> None:
    """In the watched process: damage, read, and report, one line of JSON for each file and reader."""
    sys.path.insert(0, str(ROOT / "tests"))
    import fuzz

    warnings.simplefilter("error")  # a warning is a silent "never anything else", too
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        valid = fuzz.valid_files(folder / "valid")
        for seed in range(first, first + count):
            print(json.dumps({"seed": seed}), flush=True)
            target = folder / "damaged.net"
            text = fuzz.damaged(seed, valid, target)
            for reader in fuzz.READERS:
                peak()
                kind, foreign, seconds = fuzz.attempt(reader, target)
                found = {"seed": seed, "reader": reader, "damage": text, "kind": kind, "foreign": foreign}
                print(json.dumps({**found, "seconds": seconds, "peak": peak()}), flush=True)


def is_bad(found: dict[str, Any]) -> bool:
    """Whether a reader did what it must not."""
    return bool(found["foreign"]) or found["seconds"] > MAX_SECONDS or found["peak"] > MAX_BYTES


def lines(child: Any) -> Iterator[dict[str, Any]]:
    """What the reading process reports, until it ends, or hangs and is killed."""
    while select.select([child.stdout], [], [], PATIENCE)[0]:
        line = child.stdout.readline()
        if not line:
            return
        yield json.loads(line)
    child.kill()


def watch(first: int, count: int) -> list[dict[str, Any]]:
    """Every result; a process that dies or hangs is a result, too, and the next one goes on behind it."""
    results: list[dict[str, Any]] = []
    seed, end = first - 1, first + count
    while seed < end - 1:
        start = seed + 1
        command = [sys.executable, __file__, "--read", "--first", str(start), "--count", str(end - start)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            for found in lines(child):
                seed = found["seed"]
                if "kind" in found:
                    results.append(found)
                    if is_bad(found) or len(results) % 1000 == 0:
                        print(found if is_bad(found) else f"... seed {seed}", file=sys.stderr, flush=True)
        if seed < start:
            sys.exit("the reading process did not start")
        if child.returncode != 0:
            results.append({"seed": seed, "kind": "crash", "foreign": f"exit {child.returncode}", **NOTHING})
            print(results[-1], file=sys.stderr, flush=True)
    return results


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="number of files")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.first, arguments.count)
        return
    results = watch(arguments.first, arguments.count)
    for reader in sorted({result.get("reader", "-") for result in results}):
        part = [result for result in results if result.get("reader", "-") == reader]
        kinds = Counter(result["kind"] for result in part)
        slowest, largest = (max(part, key=lambda result, key=key: result[key]) for key in ("seconds", "peak"))
        print(f"{reader}: {len(part):,} files: " + ", ".join(f"{kind} {n:,}" for kind, n in kinds.most_common()))
        print(f"  longest {slowest['seconds']:.2f} s (seed {slowest['seed']}: {slowest.get('damage')})")
        print(f"  most memory {largest['peak'] / 1e6:.0f} MB (seed {largest['seed']}: {largest.get('damage')})")
    bad = [result for result in results if is_bad(result)]
    for result in bad[:20]:
        print("FAILED", result)
    print(f"{len(bad):,} of {len(results):,} failed")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
