"""What a process may do with an engine of several threads; `python -m tests.runtime.process_scenarios NAME` does it.

Each scenario ends with exit code 0 if every answer was right. test_processes.py gives it a time limit.
"""

import multiprocessing
import os
import sys
import threading

import numpy as np

from paring.forms import Dense
from paring.graph import Graph, Node
from paring.runtime import Engine

RANDOM = np.random.default_rng(0)
WEIGHTS = {"w": Dense(RANDOM.standard_normal((24, 20, 3, 3), np.float32))}
GRAPH = Graph({"x": (4, 5, 20)}, [Node("n", "conv2d", ("x",), {}, {"weight": "w"})], ("n",), WEIGHTS)
X = RANDOM.standard_normal((12, 4, 5, 20), np.float32)  # split among two threads, and three
EXPECTED = Engine(GRAPH).run(X)
ENGINES = [Engine(GRAPH, 2), Engine(GRAPH, 3)]


def right(engine):
    return np.array_equal(engine.run(X), EXPECTED) and np.array_equal(engine.run(X[:1]), EXPECTED[:1])


def all_right(_=None):
    """The engines made before a fork, or anew in a spawned process, and one made here."""
    return all(right(engine) for engine in (*ENGINES, Engine(GRAPH, 2)))


def forked(child):
    """Exit code of a child that calls ``child`` and ends as processes do, destroying its engines."""
    if (pid := os.fork()) == 0:
        good = child()
        while ENGINES:
            del ENGINES[0]
        sys.exit(0 if good else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fork():
    assert all_right()
    assert forked(all_right) == 0
    assert all_right()


def fork_and_destroy_unused():
    assert all_right()
    assert forked(lambda: True) == 0


def fork_before_the_first_run():
    assert forked(all_right) == 0


def fork_twice():
    assert all_right()
    assert forked(lambda: all_right() and forked(all_right) == 0) == 0


def fork_while_threads_run():
    stop = threading.Event()

    def run(engine):
        while not stop.is_set():
            assert right(engine)

    threads = [threading.Thread(target=run, args=(engine,)) for engine in ENGINES]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            if (pid := os.fork()) == 0:
                os._exit(0 if all_right() else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def pool(method):
    assert all_right()
    with multiprocessing.get_context(method).Pool(2) as workers:
        assert workers.map(all_right, range(4)) == [True] * 4


def profile_while_threads_run():
    engine, stop = ENGINES[0], threading.Event()

    def look():
        while not stop.is_set():
            assert engine.kernels
            engine._program.lines()

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(20):
        assert engine.profile(X, 5)[0].seconds > 0
    stop.set()
    thread.join()


def idle_at_exit():
    assert all_right()
    sys.modules["kept"] = ENGINES  # still there when the interpreter is gone


SUB_INTERPRETER = """
try:
    from tests.runtime.process_scenarios import all_right
    assert all_right()
except ImportError as error:  # NumPy or the module says that it cannot be there
    print(error)
"""


def sub_interpreter():
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        import _interpreters as interpreters
    assert all_right()
    one = interpreters.create()
    interpreters.run_string(one, f"import sys; sys.path[:] = {sys.path!r}")
    interpreters.run_string(one, SUB_INTERPRETER)
    interpreters.destroy(one)
    assert all_right()


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    globals()[name](*arguments)
