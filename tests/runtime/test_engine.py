"""The native engine against the reference interpreter: every operator, every instruction set, any batch and threads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from paring.errors import ArgumentError, GraphError
from paring.forms import Codebook
from paring.graph import Graph, Node
from paring.runtime import Engine, reference
from paring.runtime._engine import ISAS
from tests.runtime.cases import CASES, inputs_of, rand, single

WEIGHTED = [name for name, (graph, _) in CASES.items() if graph.nodes[0].op in ("conv2d", "linear")]


def values(result):
    return list(result.values()) if isinstance(result, dict) else [result]


def assert_agrees(graph, x, tolerance=2e-5, **options):
    found = Engine(graph, **options).run(x)
    for a, b in zip(values(reference.run(graph, x)), values(found), strict=True):
        assert b.dtype == np.float32
        assert b.shape == a.shape
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)
    return found


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_operator(name, isa):
    graph, _ = CASES[name]
    for batch in (1, 3):
        assert_agrees(graph, inputs_of(graph, batch), isa=isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", WEIGHTED)
def test_sparse_kernels_take_any_weight(name, isa):
    graph, _ = CASES[name]
    for batch in (1, 3, 17):
        assert_agrees(graph, inputs_of(graph, batch), isa=isa, sparse="always")


@pytest.mark.parametrize(
    ("name", "sparse"), [*((name, "never") for name in CASES), *((name, "always") for name in WEIGHTED)]
)
def test_batch_and_threads_change_no_bit(name, sparse):
    graph, _ = CASES[name]
    x = inputs_of(graph, 33)
    one = Engine(graph, sparse=sparse).run(x)
    part = {k: v[4:5] for k, v in x.items()} if isinstance(x, dict) else x[4:5]
    np.testing.assert_array_equal(Engine(graph, sparse=sparse).run(part), one[4:5])
    for threads in (2, 3):
        engine = Engine(graph, threads, sparse=sparse)
        np.testing.assert_array_equal(engine.run(x), one)
        np.testing.assert_array_equal(engine.run(part), one[4:5])


@pytest.mark.parametrize("sparse", ["never", "always"])
def test_a_large_layer_is_split_among_threads_without_a_changed_bit(sparse):
    weight = np.where(rand(1, 80, 48, 3, 3) > 0.5, rand(2, 80, 48, 3, 3), 0)
    graph = single("conv2d", (30, 29, 48), {"padding": (1, 1, 1, 1)}, {"weight": weight})
    x = rand(3, 1, 30, 29, 48)
    one = assert_agrees(graph, x, 1e-4, sparse=sparse)
    np.testing.assert_array_equal(Engine(graph, 2, sparse=sparse).run(x), one)
    wide = single("linear", (700,), weights={"weight": np.where(rand(4, 900, 700) > 0.3, rand(5, 900, 700), 0)})
    x = rand(6, 1, 700)
    one = assert_agrees(wide, x, 1e-4, sparse=sparse)
    np.testing.assert_array_equal(Engine(wide, 2, sparse=sparse).run(x), one)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("sparse", ["never", "always"])
@pytest.mark.parametrize("pixels", [1, 2, 6, 7, 11, 12, 13, 48, 49, 97])
def test_tile_edges(pixels, sparse, isa):
    for outputs in (1, 15, 16, 17, 33, 48, 65):
        graph = single("conv2d", (1, pixels, 5), weights={"weight": rand(outputs, outputs, 5, 1, 1)})
        assert_agrees(graph, rand(0, 1, 1, pixels, 5), isa=isa, sparse=sparse)
        graph = single("linear", (9,), weights={"weight": rand(outputs, outputs, 9), "bias": rand(1, outputs)})
        assert_agrees(graph, rand(0, pixels, 9), isa=isa, sparse=sparse)


def test_not_a_number_and_infinity_go_through():
    x = np.array([[[[np.nan, 1.0], [np.inf, -np.inf]]]], np.float32)
    for name in ("relu", "clip", "hard_swish", "silu", "sigmoid", "tanh", "softmax", "max_pool", "leaky_relu"):
        graph = single(name, (1, 2, 2), {"kernel": (1, 2), "stride": (1, 1)} if name == "max_pool" else {})
        for isa in ISAS:
            np.testing.assert_array_equal(Engine(graph, isa=isa).run(x), reference.run(graph, x), err_msg=name)
    layer = Graph(
        {"x": (2,)},
        [Node("n", "linear", ("x",), {}, {"weight": "w"}), Node("r", "relu", ("n",))],
        ("r",),
        {"w": single("linear", (2,), weights={"weight": np.eye(2)}).weights["n.weight"]},
    )
    assert np.isnan(Engine(layer).run(np.array([[np.nan, 1.0]], np.float32))[0, 0])


def test_empty_batch():
    graph, _ = CASES["conv 3x3"]
    assert Engine(graph).run(np.empty((0, 7, 6, 5), np.float32)).shape == (0, 7, 6, 9)


def test_input_need_not_be_contiguous():
    graph, _ = CASES["conv 3x3"]
    x = rand(0, 2, 5, 7, 6).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(Engine(graph).run(x), Engine(graph).run(np.ascontiguousarray(x)))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 7, 6, 5)), "float32"),
        (np.zeros((1, 5, 7, 6), np.float32), r"expected \(N, 7, 6, 5\)"),
        (np.zeros((7, 6, 5), np.float32), "wrong shape"),
        ({"y": np.zeros((1, 7, 6, 5), np.float32)}, "wrong names"),
    ],
)
def test_wrong_input_is_one_clear_error(x, message):
    with pytest.raises(ArgumentError, match=message):
        Engine(CASES["conv 3x3"][0]).run(x)


def test_wrong_arguments_are_one_clear_error():
    graph, _ = CASES["relu"]
    with pytest.raises(ArgumentError, match="thread count"):
        Engine(graph, 0)
    for isa in ("mmx", "scalar+mmx", "scalar+", ""):
        with pytest.raises(ArgumentError, match="isa: instruction set is not available"):
            Engine(graph, isa=isa)
    with pytest.raises(ArgumentError, match="sparse kernels"):
        Engine(graph, sparse="maybe")


def test_too_much_memory_is_refused_before_it_is_asked_for():
    nodes = [Node(f"n{i}", "adaptive_avg_pool", ("x",), {"size": (4096, 4096)}) for i in range(20)]
    total = nodes[0].name
    for i in range(1, 20):
        nodes.append(Node(f"s{i}", "channel_shuffle", (f"n{i}",), {"groups": 2}))
        nodes.append(Node(f"a{i}", "add", (total, f"s{i}")))
        total = f"a{i}"
    graph = Graph({"x": (1, 1, 8)}, nodes, (total,))
    with pytest.raises(GraphError, match="too much memory"):
        Engine(graph)


@pytest.mark.skipif("avx512vnni" not in ISAS, reason="this processor has no VNNI")
def test_with_vnni_float_layers_take_the_kernels_they_take_without():
    """What is packed for a layer tells its kernel: a sparse one has windows from AVX-512 on."""
    book = np.array([-0.5, 0.25], np.float32)
    indices = np.where(rand(1, 64, 256) > 1.6, 2, 0) + (rand(2, 64, 256) > 1.6)
    form = Codebook(book, np.minimum(indices, 2))
    node = Node("fc", "linear", ("x",), weights={"weight": "fc.weight"})
    graph = Graph({"x": (256,)}, [node], ("fc",), {"fc.weight": form})
    steps = [Engine(graph, 1, isa=isa).profile(rand(3, 1, 256), 1)[0] for isa in ("avx512", "avx512vnni")]
    assert steps[0].weight_bytes == steps[1].weight_bytes
    assert steps[0].weight_bytes > Engine(graph, 1, isa="avx2").profile(rand(3, 1, 256), 1)[0].weight_bytes


def test_importing_the_runtime_imports_no_torch():
    code = "import sys, paring.runtime; print([m for m in sys.modules if m.split('.')[0] in ('torch', 'PIL', 'scipy')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_calls_from_several_threads_do_not_mix():
    graph, _ = CASES["conv wide"]
    engine = Engine(graph, 2)
    inputs = [rand(i, 3, 4, 5, 20) for i in range(16)]
    expected = [engine.run(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for a, b in zip(pool.map(engine.run, inputs * 4), expected * 4, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_process_ends_in_silence_while_threads_compute():
    lines = [
        "import threading, time, numpy as np",
        "from paring.graph import Graph, Node",
        "from paring.runtime import Engine",
        "engine = Engine(Graph({'x': (64, 64, 8)}, [Node('y', 'relu', ('x',))], ('y',), {}))",
        "images = np.ones((100, 64, 64, 8), np.float32)",
        "def work():",
        "    while True:",
        "        engine.run({'x': images})",
        "for _ in range(3):",
        "    threading.Thread(target=work, daemon=True).start()",
        "time.sleep(0.2)",
        "print('done')",
    ]
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_a_thread_that_an_exit_function_waits_for_comes_back():
    lines = [
        "import atexit, threading, time, numpy as np",
        "stop = threading.Event()",
        "atexit.register(lambda: (stop.set(), thread.join(), print('joined')))",  # called after Paring's
        "from paring.graph import Graph, Node",
        "from paring.runtime import Engine",
        "engine = Engine(Graph({'x': (64, 64, 8)}, [Node('y', 'relu', ('x',))], ('y',), {}))",
        "images = np.ones((100, 64, 64, 8), np.float32)",
        "def work():",
        "    while not stop.is_set():",
        "        engine.run({'x': images})",
        "thread = threading.Thread(target=work, daemon=True)",
        "thread.start()",
        "time.sleep(0.2)",
    ]
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "joined\n", "")


def test_profile_names_every_step():
    graph, _ = CASES["conv 3x3"]
    (step,) = Engine(graph).profile(rand(0, 1, 7, 6, 5), repeats=3)
    assert (step.name, step.kernel) == ("n", "conv2d gemm")
    assert step.seconds > 0
    assert step.weight_bytes >= 9 * 5 * 9 * 4
