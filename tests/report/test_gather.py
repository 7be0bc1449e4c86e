import hashlib
import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from paring.container import Contents
from paring.container import write as write_pare
from paring.errors import ArgumentError, CheckpointError, FormatError, OutputError
from paring.image import Preparation
from paring.record import Layer, Record
from paring.record import Stage as RecordedStage
from paring.report import Accuracy, NodeTime, Timing, gather, render, write
from tests.report import examples


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run folder with a pruned LeNet-5, its float weights and its record."""
    run = tmp_path_factory.mktemp("run")
    graph, before = examples.lenet()
    np.savez(run / "baseline.npz", **before)
    contents = Contents(
        graph,
        Preparation(28, 28, 1, (0.1307,), (0.3081,)),
        tuple("0123456789"),
        {"recipe": "deep-compression", "command": "paring compress lenet_5_caffe\nparing report", "note": "<b>"},
    )
    write_pare(run / "net.pare", contents)
    rows = [
        Layer(name, "linear", form.shape, form.size, form.nonzeros)
        for name, form in graph.weights.items()
        if name.endswith("weight")
    ]
    record = Record(
        recipe="deep-compression",
        network="lenet_5_caffe",
        data="mnist:FOLDER",
        seed=3,
        test_set="mnist test",
        test_images=10_000,
        settings={
            "train": {"epochs": 10, "lr": 0.002, "batch": 128, "optimizer": "adam"},
            "keep": {"fc1": 0.08},
            "bits": 5,
            "budget": None,
        },
        commands=["paring compress lenet_5_caffe --seed 3"],
        machine={"processor": "Example CPU", "cores": 2},
        stages=[
            RecordedStage("train", "SGD", 20, 182.4, 0.01, 0.008, 430_500, 430_500),
            RecordedStage("prune 1", "", 0, 0.2, None, None, 430_500, 43_050),
        ],
        layers=rows,
        baseline_error=0.008,
        final_error=0.0074,
        baseline="baseline.npz",
    )
    (run / "record.json").write_text(record.to_json())
    return run, record, graph, before


def test_a_file_alone_gives_its_bytes_and_its_card(made):
    run, _, graph, _ = made
    report = gather(run / "net.pare")
    assert report.bytes == (run / "net.pare").stat().st_size
    assert report.float_bytes == 4 * 431_080
    assert (
        sum(layer.after for layer in report.layers)
        + sum(section.bytes for section in report.sections if section.name not in graph.weights)
        == report.bytes
    )
    assert report.title == "net"
    assert {section.part for section in report.sections} == {"frame", "network", "weight, codebook", "bias, dense"}
    assert report.classes == tuple("0123456789")
    assert dict(report.preparation)["Input"] == "28 × 28 pixels, gray"
    assert report.commands == ("paring compress lenet_5_caffe", "paring report")
    facts = {key: value for group in report.facts for key, value in group.rows}
    assert facts["SHA-256"] == hashlib.sha256((run / "net.pare").read_bytes()).hexdigest()
    assert facts["note"] == "<b>"
    assert not any(data.baseline for data in report.histograms)
    assert (report.accuracy, report.stages, report.timings) == (None, (), ())


def test_the_run_adds_stages_errors_and_the_weights_before(made):
    run, record, _, before = made
    report = gather(run / "net.pare", run=run)
    assert report == gather(run / "net.pare", record=record, run=run)
    assert report.title == "lenet_5_caffe"
    assert [(s.name, s.error, s.kept) for s in report.stages] == [("train", 0.008, 1.0), ("prune 1", None, 0.1)]
    assert report.stage_data == "mnist test"
    assert report.stages[0].note == "SGD; 20 epochs"
    assert (report.accuracy.data, report.accuracy.images) == ("mnist test", 10_000)
    assert (report.accuracy.before, report.accuracy.after) == (0.008, 0.0074)
    assert all(data.baseline for data in report.histograms)
    assert [data.weights for data in report.histograms] == [before[data.name].size for data in report.histograms]
    facts = {key: value for group in report.facts for key, value in group.rows}
    assert facts["Seed"] == "3"
    whole, train = report.settings
    assert dict(whole.rows) == {"keep fc1": "0.08", "bits": "5"}
    assert (train.title, dict(train.rows)["lr"]) == ("Train", "0.002")
    assert report.commands == ("paring compress lenet_5_caffe --seed 3",)


def test_what_was_measured_elsewhere_is_passed_through(made):
    run, *_ = made
    accuracy = Accuracy("mnist test", 10_000, 0.008, 0.0075, "torch", "this file in the engine", 9_999)
    report = gather(
        run / "net.pare",
        run=run,
        accuracy=accuracy,
        timings=[Timing("engine", 0.1, 1, "avx2", ours=True)],
        profile=[NodeTime("fc1", "linear", 0.05)],
        profile_source="20 runs",
    )
    page = render(report)
    assert report.accuracy == accuracy
    assert "9,999 of 10,000" in page
    assert "20 runs" in page


def test_a_record_of_another_network_is_refused(made):
    run, record, *_ = made
    first = record.layers[0]
    for other in (replace(first, kept=first.kept + 1), replace(first, name="conv9.weight")):
        with pytest.raises(ArgumentError, match=r"another network than net\.pare") as caught:
            gather(run / "net.pare", record=replace(record, layers=[other]))
        assert caught.value.where == other.name


def test_a_missing_baseline_is_no_error_but_a_damaged_one_is(made, tmp_path):
    run, record, *_ = made
    assert not gather(run / "net.pare", record=record, run=tmp_path).histograms[0].baseline
    (tmp_path / "baseline.npz").write_bytes((run / "baseline.npz").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"baseline\.npz"):
        gather(run / "net.pare", record=record, run=tmp_path)


@pytest.mark.parametrize("make", [lambda path: np.save(path, np.zeros(3)), lambda path: path.write_bytes(b"")])
def test_a_baseline_that_is_no_archive_is_refused(made, tmp_path, make):
    run, record, *_ = made
    make(tmp_path / "baseline.npy")
    with pytest.raises(CheckpointError, match="cannot be read"):
        gather(run / "net.pare", record=replace(record, baseline="baseline.npy"), run=tmp_path)


def test_a_baseline_of_other_shapes_is_refused(made, tmp_path):
    run, record, _, before = made
    np.savez(tmp_path / "baseline.npz", **{**before, "fc1.weight": before["fc1.weight"].T})
    with pytest.raises(ArgumentError, match="another shape"):
        gather(run / "net.pare", record=record, run=tmp_path)


def test_a_baseline_with_pickled_objects_is_refused(made, tmp_path):
    run, record, *_ = made
    np.savez(tmp_path / "baseline.npz", **{"fc1.weight": np.array([{}], object)})
    with pytest.raises(CheckpointError, match="cannot be read"):
        gather(run / "net.pare", record=record, run=tmp_path)


def test_a_folder_without_a_record_is_refused(made, tmp_path):
    with pytest.raises(CheckpointError, match="no record"):
        gather(made[0] / "net.pare", run=tmp_path)


def test_a_damaged_file_leaves_no_page(made, tmp_path):
    (tmp_path / "cut.pare").write_bytes((made[0] / "net.pare").read_bytes()[:-1])
    with pytest.raises(FormatError):
        write(tmp_path / "report.html", tmp_path / "cut.pare")
    assert not (tmp_path / "report.html").exists()


def test_write_makes_the_page_of_gather(made, tmp_path):
    run, record, *_ = made
    path = write(tmp_path / "report.html", run / "net.pare", record, run=run)
    assert path.read_text("utf-8") == render(gather(run / "net.pare", run=run))
    with pytest.raises(OutputError):
        write(tmp_path / "none" / "report.html", run / "net.pare")


def test_a_baseline_outside_the_run_folder_is_refused(made, tmp_path):
    run, record, *_ = made
    for path in (f"../{run.name}/baseline.npz", str(run / "baseline.npz")):
        with pytest.raises(CheckpointError, match="outside the run folder"):
            gather(run / "net.pare", record=replace(record, baseline=path), run=tmp_path)


def test_a_baseline_that_unpacks_to_more_than_the_weights_is_refused(made, tmp_path):
    run, record, _, before = made
    np.savez_compressed(tmp_path / "baseline.npz", **{**before, "fc1.weight": np.zeros(1 << 22)})
    assert (tmp_path / "baseline.npz").stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match=r"fc1\.weight\.npy has 33,"):
        gather(run / "net.pare", record=record, run=tmp_path)


def test_a_baseline_whose_array_promises_more_than_there_is_is_refused(made, tmp_path):
    run, record, *_ = made
    entry = io.BytesIO()
    np.lib.format.write_array_header_1_0(entry, {"descr": "<f4", "fortran_order": False, "shape": (1 << 50,)})
    with zipfile.ZipFile(tmp_path / "baseline.npz", "w") as archive:
        archive.writestr("fc1.weight.npy", entry.getvalue())
    with pytest.raises(CheckpointError, match=r"baseline\.npz: weights before compression cannot be read"):
        gather(run / "net.pare", record=record, run=tmp_path)
