import pytest

from paring.errors import CheckpointError
from paring.record import Layer, Record, Stage


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
