import json
import os

import pytest

from paring.errors import CheckpointError
from paring.record import Layer, Record, Stage, Training


def full():
    return Record(
        recipe="deep-compression",
        network="lenet_5_caffe",
        data="mnist:here",
        seed=3,
        classes=("zero", "one"),
        settings={"keep": {"fc*": 0.05}},
        commands=["paring compress"],
        stages=[Stage("train", epochs=2, seconds=1.5, test_error=0.01), Stage("prune 1", seconds=2.5)],
        layers=[Layer("fc1.weight", "linear", (300, 784), 235200, 100, centroids=8, bits=16, bytes=77)],
        float_bytes=4000,
        file_bytes=100,
    )


def test_json_round_trip():
    record = full()
    again = Record.from_json(record.to_json())
    assert again == record
    assert again.layers[0].shape == (300, 784)
    assert (again.seconds, again.ratio) == (4.0, 40.0)


def test_load_takes_a_file_or_a_run_folder(tmp_path):
    (tmp_path / "record.json").write_text(full().to_json())
    assert Record.load(tmp_path) == Record.load(tmp_path / "record.json") == full()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 99}', '{"version": 1}', "null", '{"version": 1, "x": 2}']
)
def test_what_is_no_record_is_refused(text):
    with pytest.raises(CheckpointError):
        Record.from_json(text)


def test_missing_record_names_the_place(tmp_path):
    with pytest.raises(CheckpointError, match=r"record\.json"):
        Record.load(tmp_path)


def changed(**values):
    return json.dumps({**json.loads(full().to_json()), **values})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"stages": 3}, "stages is '3', not list"),
        ({"stages": [7]}, "Stage is int"),
        ({"stages": [{"name": 5}]}, "name is '5', not str"),
        ({"stages": [{"note": "x"}]}, "'name' is missing"),
        ({"layers": [{"name": "a"}]}, "is missing"),
        ({"classes": "abc"}, "classes is 'abc'"),
        ({"float_bytes": "many"}, "float_bytes is 'many', not int"),
        ({"seed": True}, "seed is 'True'"),
        ({"machine": []}, "machine is"),
        ({"baseline": None}, "baseline is 'None'"),
        ({"final_error": "low"}, "final_error is 'low', not float"),
    ],
)
def test_values_of_another_type_are_refused(values, told):
    with pytest.raises(CheckpointError, match=told):
        Record.from_json(changed(**values))


@pytest.mark.parametrize("text", ['{"version": 1, "settings": ' + "[" * 100_000, '{"version": 1, "seed": NaN}'])
def test_hostile_json_is_refused(text, tmp_path):
    with pytest.raises(CheckpointError, match="not a record of a run"):
        Record.from_json(text)
    (tmp_path / "training.json").write_text(text)
    with pytest.raises(CheckpointError, match="not a record of a training run"):
        Training.load(tmp_path)


def test_a_pipe_is_no_record(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "record.json")
    with pytest.raises(CheckpointError, match="not a regular file"):
        Record.load(tmp_path)
