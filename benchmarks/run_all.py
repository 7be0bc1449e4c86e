"""Run every benchmark that the documentation's numbers come from, one after the other, on an otherwise quiet machine.

make bench                                    # what needs no data
PARING_DATA=../shared/data make bench         # and what trains on MNIST or reads CIFAR-10, about 15 minutes more
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Script and arguments; "{data}" stands for PARING_DATA.
RUNS = (
    ("zoo_tables.py", "--check"),
    ("cost_time.py",),
    ("coding.py",),
    ("latency.py",),
    ("whitening.py", "{data}"),
    ("deep_compression_mnist.py", "{data}/mnist"),
)


def main() -> int:
    data = os.environ.get("PARING_DATA")
    failed = []
    for script, *arguments in RUNS:
        if any("{data}" in argument for argument in arguments) and not data:
            print(f"\n=== {script}: left out, PARING_DATA is not set", flush=True)
            continue
        words = [argument.format(data=data) for argument in arguments]
        print(f"\n=== {script} {' '.join(words)}", flush=True)
        if subprocess.run([sys.executable, HERE / script, *words], check=False).returncode:
            failed.append(script)
    if failed:
        print("\nfailed:", ", ".join(failed))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
