"""Run every benchmark that the documentation's numbers come from, one after the other, on an otherwise quiet machine.

make bench                                                    # what needs no data
PARING_DATA=../shared/data make bench                         # and what reads MNIST or CIFAR-10, 15 minutes more
PARING_DATA=../shared/data .venv/bin/python benchmarks/run_all.py --long    # and the trainings, three hours more
"""

import argparse
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
#: Trainings, and what takes long.
LONG = (
    ("lenet5_mnist.py", "{data}/mnist"),
    ("input_pipeline.py", "--data", "{data}"),
    ("integer_layers.py",),
    ("kmeans_fc6.py",),
    ("low_bits_mnist.py", "--data", "mnist5k"),
    ("binary_methods_mnist.py", "--float-epochs", "4", "--epochs", "1"),
    ("int8.py", "{data}"),
    ("structured.py", "{data}"),
    ("structured.py", "{data}", "--time"),
    ("qat.py", "{data}"),
    ("specialists_cifar10.py", "--data", "{data}"),
    ("resnet20_cifar10.py", "{data}/cifar10", "--epochs", "2"),
    ("methods_table.py", "{data}"),
    ("hinton_mnist.py", "--mnist", "{data}/mnist"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="the trainings, too")
    runs = RUNS + LONG if parser.parse_args().long else RUNS
    data = os.environ.get("PARING_DATA")
    failed = []
    for script, *arguments in runs:
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
