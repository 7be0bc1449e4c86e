"""Networks and reports that the report's tests look at: a pruned LeNet-5, and 60 layers with long names."""

from dataclasses import replace

import numpy as np

from paring.forms import Codebook, Dense
from paring.graph import Graph, Node
from paring.report import Accuracy, Coding, CodingRow, Facts, NodeTime, Report, Section, Stage, Timing
from paring.report._network import graph_nodes, histograms, layers

ATTACK = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\"&\u202e"


def share(weight: np.ndarray, kept: float, centroids: int) -> Codebook:
    """Prune to a share by magnitude and move the rest to evenly spaced values, as plain numpy does it."""
    magnitude = np.abs(weight)
    threshold = np.quantile(magnitude, 1 - kept)
    alive = np.where(magnitude > threshold, weight, 0)
    values = np.linspace(weight.min(), weight.max(), centroids)
    nearest = np.abs(alive.ravel()[:, None] - values).argmin(1).reshape(weight.shape) + 1
    return Codebook.from_assignment(np.concatenate([[0], values]), np.where(alive == 0, 0, nearest))


def lenet() -> tuple[Graph, dict[str, np.ndarray]]:
    """Caffe's LeNet-5 with a pruned codebook in each layer, and the float weights it came from."""
    rng = np.random.default_rng(7)
    shapes = {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5), "fc1": (500, 800), "fc2": (10, 500)}
    targets = {"conv1": (0.66, 64), "conv2": (0.12, 64), "fc1": (0.08, 31), "fc2": (0.19, 31)}
    before, weights = {}, {}
    for layer, shape in shapes.items():
        fan = np.prod(shape[1:])
        weight = (rng.standard_t(6, shape) / np.sqrt(2 * fan)).astype(np.float32)
        before[f"{layer}.weight"] = weight
        weights[f"{layer}.weight"] = share(weight, *targets[layer])
        weights[f"{layer}.bias"] = Dense(rng.normal(0, 0.02, shape[0]))
    roles = {layer: {"weight": f"{layer}.weight", "bias": f"{layer}.bias"} for layer in shapes}
    pool = {"kernel": (2, 2), "stride": (2, 2)}
    nodes = [
        Node("conv1", "conv2d", ("image",), {}, roles["conv1"]),
        Node("pool1", "max_pool", ("conv1",), pool),
        Node("conv2", "conv2d", ("pool1",), {}, roles["conv2"]),
        Node("pool2", "max_pool", ("conv2",), pool),
        Node("flatten", "flatten", ("pool2",)),
        Node("fc1", "linear", ("flatten",), {}, roles["fc1"]),
        Node("relu", "relu", ("fc1",)),
        Node("fc2", "linear", ("relu",), {}, roles["fc2"]),
    ]
    return Graph({"image": (28, 28, 1)}, nodes, ("fc2",), weights), before


def residual(blocks: int = 30) -> tuple[Graph, dict[str, np.ndarray]]:
    """Residual blocks of two convolutions each under long module paths; 60 weighted layers and one classifier."""
    rng = np.random.default_rng(11)
    nodes, weights, before, last = [], {}, {}, "image"
    for b in range(blocks):
        top = last
        for c in range(2):
            name = f"backbone.stages.{b // 5}.residual_bottleneck_blocks.{b % 5}.pointwise_projection_convolution_{c}"
            weight = rng.normal(0, 0.2, (8, 8, 3, 3)).astype(np.float32)
            before[f"{name}.weight"] = weight
            weights[f"{name}.weight"] = share(weight, 0.05 + 0.9 * b / blocks, 15)
            roles = {"weight": f"{name}.weight"}
            nodes.append(Node(name, "conv2d", (last,), {"padding": (1, 1, 1, 1)}, roles))
            nodes.append(Node(f"{name}.activation", "relu", (name,)))
            last = f"{name}.activation"
        nodes.append(Node(f"backbone.stages.{b // 5}.add_{b}", "add", (last, top)))
        last = f"backbone.stages.{b // 5}.add_{b}"
    weights["head.weight"] = Dense(rng.normal(0, 0.1, (10, 8)))
    nodes += [
        Node("pool", "global_avg_pool", (last,)),
        Node("head", "linear", ("pool",), {}, {"weight": "head.weight"}),
    ]
    return Graph({"image": (16, 16, 8)}, nodes, ("head",), weights), before


def report_of(graph: Graph, before: dict[str, np.ndarray] | None, title: str, **more) -> Report:
    """A report whose file holds each stream as plain bytes behind a header of 64."""
    sections = [Section("header", "header", 64)]
    for name, form in graph.weights.items():
        for stream in form.streams():
            bits = max(int(np.ceil(np.log2(stream.spec.alphabet))), 1) if stream.spec.alphabet else form.bits
            sections.append(Section(name, stream.spec.name, -(-stream.spec.count * bits // 8), form.kind))
    weight_bytes: dict[str, int] = {}
    for section in sections[1:]:
        weight_bytes[section.name] = weight_bytes.get(section.name, 0) + section.bytes
    return Report(
        title=title,
        file=f"{title}.pare",
        bytes=sum(section.bytes for section in sections),
        sections=tuple(sections),
        layers=layers(graph, weight_bytes),
        nodes=graph_nodes(graph),
        histograms=histograms(graph, before),
        **more,
    )


def lenet_report() -> Report:
    """Every part filled; the measurements are invented, as they are nobody's claim here."""
    graph, before = lenet()
    ours = Coding(430_500, 0.081, 5.2, 4.1, 5, 4.4, 0.0305, 0.0255)
    theirs = Coding(431_000, 0.08, 5.3, 4.1, 5, 4.4, 0.0305, 0.0255)
    conv1 = Coding(500, 0.66, 8, 7.2, 5, 1.5, 0.785, 0.6745)
    machine = "Example CPU @ 2.10 GHz"
    return report_of(
        graph,
        before,
        "lenet5",
        accuracy=Accuracy("mnist test", 10_000, 0.0080, 0.0074, "torch, float32", "this file in the engine", 10_000),
        timings=(
            Timing("engine", 0.083, 1, "avx512", 1, 200, 0.081, 0.090, machine, True),
            Timing("torch 2.13.0, float32", 0.312, 1, "", 1, 200, 0.300, 0.340, machine),
            Timing("torch 2.13.0, float32", 0.281, 2, "", 1, 200, 0.270, 0.330, machine),
        ),
        stages=(
            Stage("train", "20 epochs of SGD", 0.0080, 1.0, 182.4),
            Stage("prune 1", "to 30 %", 0.0214, 0.30, 0.3),
            Stage("retrain 1", "4 epochs", 0.0079, 0.30, 41.0),
            Stage("prune 2", "to 8 %", 0.6312, 0.081, 0.3),
            Stage("retrain 2", "8 epochs", 0.0077, 0.081, 80.2),
            Stage("share", "exact 1-D clustering, 5 to 6 bits", 0.0102, 0.081, 1.2),
            Stage("tune", "2 epochs on the centroids", 0.0074, 0.081, 22.0),
        ),
        stage_data="mnist test",
        profile=(
            NodeTime("conv1", "conv2d", 0.0131, "direct 5x5"),
            NodeTime("pool1", "max_pool", 0.0021),
            NodeTime("conv2", "conv2d", 0.0402, "sparse codebook"),
            NodeTime("pool2", "max_pool", 0.0009),
            NodeTime("flatten", "flatten", 0.0),
            NodeTime("fc1", "linear", 0.0205, "sparse codebook"),
            NodeTime("relu", "relu", 0.0002),
            NodeTime("fc2", "linear", 0.0011, "sparse codebook"),
        ),
        profile_source=f"median of 50 runs, batch 1, 1 thread, avx512, {machine}",
        codings=(
            CodingRow("conv1", conv1, conv1, "conv1", 1400, 1210),
            CodingRow("fc1", replace(ours, weights=400_000), replace(theirs, weights=400_000), "ip1", 39_800, 31_000),
            CodingRow("total", ours, theirs, "total", 43_900, 33_900, True),
        ),
        coding_source="table 3",
        preparation=(("Size", "28 × 28, gray"), ("Mean", "0.1307"), ("Standard deviation", "0.3081")),
        classes=tuple("0123456789"),
        facts=(
            Facts("Provenance", (("Recipe", "deep-compression"), ("Data", "mnist train, 60,000 images"))),
            Facts("Reproduction", (("Seed", "1"), ("Machine", machine), ("Versions", "paring 0.1.0, torch 2.13.0"))),
        ),
        settings=(
            Facts("The whole recipe", (("keep", "0.08"), ("rounds", "2"))),
            Facts("Train", (("epochs", "20"), ("optimizer", "sgd"), ("lr", "0.01"))),
            Facts("Retrain", (("epochs", "12"), ("optimizer", "sgd"), ("distill", "0.7"))),
        ),
        commands=("paring train lenet5-caffe --data mnist:DATA --seed 1", "paring compress lenet5.ckpt --report"),
        version="0.1.0",
    )


def long_report() -> Report:
    """Sixty layers with long names, a long record, and stages without a number."""
    graph, before = residual()
    nodes = graph.nodes
    return report_of(
        graph,
        before,
        "a-network-with-a-rather-long-name-from-an-architecture-search-2026",
        stages=tuple(
            Stage(f"{kind} {i}", "while the error stays within half a point", error, 1 / (i + 1), 3000.0 * i)
            for i in range(15)
            for kind, error in (("prune", None if i % 4 == 3 else 0.2 + i / 30), ("retrain", 0.08 + i / 500))
        ),
        profile=tuple(NodeTime(node.name, node.op, 0.001 * (i % 13 + 1)) for i, node in enumerate(nodes)),
        codings=tuple(CodingRow(node.name, Coding(576, 0.5, 4, 3.5, 5, 3.1, 0.2, 0.18)) for node in nodes[::5]),
        classes=tuple(f"class number {i}, with a comma" for i in range(1000)),
        facts=(Facts("Provenance", (("sha256", "0123456789abcdef" * 4),)),),
    )


def bare_report() -> Report:
    """A file and nothing else."""
    graph, _ = lenet()
    return report_of(graph, None, "bare")


def hostile_report() -> Report:
    """Every string a stranger can choose tries to be markup."""
    base = lenet_report()
    return replace(
        base,
        title=ATTACK,
        file=ATTACK,
        sections=tuple(replace(s, name=ATTACK, part=ATTACK, form=ATTACK) for s in base.sections),
        layers=tuple(replace(layer, name=ATTACK, op=ATTACK, form=ATTACK) for layer in base.layers),
        nodes=tuple(
            replace(node, name=f"{ATTACK}{i}", op=ATTACK, detail=ATTACK, inputs=(ATTACK,))
            for i, node in enumerate(base.nodes)
        ),
        accuracy=replace(base.accuracy, data=ATTACK, before_source=ATTACK, after_source=ATTACK, simulated=True),
        timings=tuple(replace(t, what=ATTACK, isa=ATTACK, machine=ATTACK) for t in base.timings),
        stages=tuple(replace(s, name=ATTACK, note=ATTACK) for s in base.stages),
        stage_data=ATTACK,
        histograms=tuple(replace(h, name=ATTACK) for h in base.histograms),
        profile=tuple(replace(n, name=ATTACK, op=ATTACK, kernel=ATTACK) for n in base.profile),
        profile_source=ATTACK,
        codings=tuple(replace(c, layer=ATTACK, paper_layer=ATTACK) for c in base.codings),
        coding_source=ATTACK,
        preparation=((ATTACK, ATTACK),),
        classes=(ATTACK, "\x00\x1b[31m\udc80", "</style></script>"),
        facts=(Facts(ATTACK, ((ATTACK, ATTACK),)),),
        settings=(Facts(ATTACK, ((ATTACK, ATTACK),)), Facts(ATTACK, ((ATTACK, ATTACK),))),
        commands=(ATTACK,),
        absent=dict.fromkeys(("accuracy", "latency", "weights", "recipe", "time", "paper"), ATTACK),
        version=ATTACK,
    )


ALL = {"lenet": lenet_report, "long": long_report, "bare": bare_report, "hostile": hostile_report}
