"""Deep Compression of LeNet-300-100 and LeNet-5 on the whole of MNIST, from scratch, beside the paper's tables.

    python benchmarks/deep_compression_mnist.py ../shared/data/mnist                       # both, the small presets
    python benchmarks/deep_compression_mnist.py ../shared/data/mnist --paper               # both, the paper's own way
    python benchmarks/deep_compression_mnist.py FOLDER --network lenet_5_caffe --seed 1 --run out/lenet5-seed1

Trains on all 60,000 images, touches the test set only to report, prints a Markdown page and leaves everything in the
run folder. A killed run goes on when started again with the same arguments.
"""

import argparse
import shlex
import sys
from pathlib import Path

from paring import container
from paring.recipes import compress
from paring.recipes.builtin._deep_compression_presets import default_preset
from paring.report._paper import coding_rows

#: (bytes, test error) the paper reaches: 27 KB at 1.58 %, 44 KB at 0.74 %; and what this script must stay under.
LIMITS = {"lenet_300_100": (27_000, 0.0164), "lenet_5_caffe": (44_000, 0.0080)}
PAPER = {"lenet_300_100": "27 KB at 1.58 %", "lenet_5_caffe": "44 KB at 0.74 %"}


def percent(share, digits=2):
    return "" if share is None else f"{100 * share:.{digits}f} %"


def beside(ours, theirs, digits=1):
    """Our number and, in brackets, the paper's."""
    if ours is None:
        return ""
    return f"{ours:.{digits}f}" + (f" ({theirs:.{digits}f})" if theirs is not None else "")


def stages(record):
    print("| stage | epochs | seconds | test error | non-zero weights | |\n|---|---|---|---|---|---|")
    for s in record.stages:
        print(f"| {s.name} | {s.epochs} | {s.seconds:.0f} | {percent(s.test_error)} | {s.nonzeros:,} | {s.note} |")


def layers(record, path):
    graph = container.read(path).graph
    rows, source = coding_rows(graph, {layer.name: layer.bytes for layer in record.layers})
    print(f"\nThe paper's columns ({source}; its numbers in brackets), then bytes in its coding and in ours:\n")
    heads = (
        "layer",
        "weights",
        "kept %",
        "W bits",
        "W bits H",
        "I bits",
        "I bits H",
        "P+Q %",
        "P+Q+H %",
        "paper's coding",
        "ours",
    )
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in rows:
        a, b = row.ours, row.paper

        def pair(name, scale=1.0, digits=1, a=a, b=b):
            mine, theirs = getattr(a, name), getattr(b, name, None) if b else None
            return beside(mine and scale * mine, theirs and scale * theirs, digits)

        cells = (
            row.layer,
            f"{a.weights:,.0f}",
            pair("kept", 100),
            pair("weight_bits_pq"),
            pair("weight_bits_pqh"),
            pair("index_bits_pq"),
            pair("index_bits_pqh"),
            pair("size_pq", 100, 2),
            pair("size_pqh", 100, 2),
            f"{row.huffman:,}",
            f"{row.file:,}",
        )
        print("| " + " | ".join(cells) + " |")


def one(network, args):
    preset = f"paper-{default_preset(network).removeprefix('small-')}" if args.paper else args.preset
    name = f"{network}-{preset or 'small'}-{args.seed}"
    folder = Path(args.run) if args.run else Path("out") / name
    command = shlex.join(["python", *sys.argv])
    record = compress(
        network,
        f"mnist:{args.data}",
        folder,
        "deep-compression",
        preset=preset,
        resume=True,
        seed=args.seed,
        threads=args.threads,
        hold_out=args.hold_out,
        commands=[command],
        log=lambda line: print(line, file=sys.stderr, flush=True),
    ).record
    print(f"\n## {network}\n\n`{command}`, seed {args.seed}, {record.machine['processor']}, "
          f"{record.machine['threads']} threads, torch {record.machine['torch']}\n")  # fmt: skip
    stages(record)
    layers(record, folder / record.file)
    size, error = LIMITS[network]
    good = record.file_bytes <= size and record.final_error <= error
    print(
        f"\n**{record.file_bytes:,} bytes at {percent(record.final_error)} test error** ({record.test_set}); "
        f"float {record.float_bytes:,} bytes at {percent(record.baseline_error)}; {record.ratio:.0f} times smaller; "
        f"{record.paper_bytes:,} bytes as a file in the paper's coding; the paper: {PAPER[network]}. "
        f"{record.seconds:.0f} s. Limit {size:,} bytes at {percent(error)}: {'met' if good else 'MISSED'}."
    )
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder with the MNIST IDX files")
    parser.add_argument("--network", choices=list(LIMITS), action="append", help="default: both")
    parser.add_argument("--preset", help="settings other than the network's own")
    parser.add_argument("--paper", action="store_true", help="the paper's own way")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hold-out", type=int, default=0, help="choose settings on so many training images instead")
    parser.add_argument("--run", help="run folder; default out/NAME")
    args = parser.parse_args()
    networks = args.network or list(LIMITS)
    if args.run and len(networks) > 1:
        parser.error("--run takes one --network")
    results = [one(network, args) for network in networks]
    sys.exit(0 if all(results) or args.paper else 1)


if __name__ == "__main__":
    main()
