"""What checksums cost: their share of the time that `sample` takes, and their speed.

OMP_NUM_THREADS=1 python benchmarks/checksums.py -n 20000
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from gmmedit.artifacts import row_writer
from gmmedit.artifacts.checksums import checksum, checksum_row
from gmmedit.config import SampleSettings
from gmmedit.runtime.execution import Execution
from gmmedit.stages import sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20_000, help="samples of the embedded generator")
    n = parser.parse_args().n
    spent = 0.0

    def timed(arrays: row_writer.Arrays) -> np.ndarray:
        nonlocal spent
        began = time.perf_counter()
        sums = checksum_row(arrays)
        spent += time.perf_counter() - began
        return sums

    row_writer.checksum_row = timed
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        sample.run(Path(folder), SampleSettings(n=n), Execution())
        whole = time.perf_counter() - began
    block = np.zeros(1 << 26, np.uint8)
    began = time.perf_counter()
    checksum(block)
    speed = block.nbytes / (time.perf_counter() - began) / 1e9
    print(
        f"{n} samples: {whole:.2f} s, of which checksums {1000 * spent:.1f} ms: {spent / whole:.2%}; {speed:.1f} GB/s"
    )


if __name__ == "__main__":
    main()
