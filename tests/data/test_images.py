import struct
from io import BytesIO

import numpy as np
import pytest

from paring.data import _decode, listing, load
from paring.errors import DataError
from paring.training.input import ImageStream

PIL = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


@pytest.fixture
def folder(tmp_path):
    """Two classes of 10 images, 20 x 16 color PNG, each of one known color, cats first."""
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for number in range(10):
            PIL.new("RGB", (20, 16), (label * 100, number, 7)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_plain_folder_holds_every_fifth_out(folder):
    train, test, whole = (load(f"imagefolder:{folder}", split) for split in ("train", "test", "all"))
    assert [len(s) for s in (train, test, whole)] == [16, 4, 20]
    assert train.classes == ("cat", "dog")
    assert test.images[:, 0, 0].tolist() == [[0, 4, 7], [0, 9, 7], [100, 4, 7], [100, 9, 7]]
    assert test.labels.tolist() == [0, 0, 1, 1]
    assert train.preparation.shape == (16, 20, 3)
    assert train.preparation.resize == 0


@pytest.mark.parametrize("name", ["val", "valid", "test", "validation"])
def test_split_folders(folder, tmp_path_factory, name):
    root = tmp_path_factory.mktemp("root")
    (folder).rename(root / "train")
    for label in ("cat", "dog"):
        (root / name / label).mkdir(parents=True)
        PIL.new("L", (20, 16), 3).save(root / name / label / "x.JPG")
    assert len(load(f"imagefolder:{root}", "train")) == 20
    test = load(f"imagefolder:{root}", "test")
    assert test.labels.tolist() == [0, 1]
    assert test.images.shape == (2, 16, 20, 1)
    assert len(load(f"imagefolder:{root}", "all", channels=3)) == 22
    (root / name / "wolf").mkdir()
    with pytest.raises(DataError, match="wolf: class is not among the training classes"):
        load(f"imagefolder:{root}", "test")


def test_images_of_many_sizes_are_scaled_and_cropped_as_pillow_does(tmp_path):
    rng = np.random.default_rng(3)
    (tmp_path / "only").mkdir()
    originals = []
    for number, (height, width) in enumerate([(40, 60), (70, 30), (33, 33), (64, 48), (50, 51)]):
        originals.append(PIL.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)))
        originals[-1].save(tmp_path / "only" / f"{number}.png")
    found = load(f"imagefolder:{tmp_path}", "all", size=28)
    assert found.preparation.resize == 32
    for original, image in zip(originals, found.images, strict=True):
        width, height = original.size
        scale = 32 / min(width, height)
        scaled = original.resize((max(32, int(width * scale)), max(32, int(height * scale))), PIL.Resampling.BILINEAR)
        left, top = round((scaled.width - 28) / 2), round((scaled.height - 28) / 2)
        expected = np.asarray(scaled.crop((left, top, left + 28, top + 28)))
        np.testing.assert_array_equal(image, expected)


def test_default_size_of_mixed_images_is_the_imagenet_custom(tmp_path):
    (tmp_path / "a").mkdir()
    PIL.new("RGB", (300, 280)).save(tmp_path / "a" / "0.png")
    PIL.new("RGB", (280, 300)).save(tmp_path / "a" / "1.png")
    preparation = load(f"imagefolder:{tmp_path}", "all").preparation
    assert (preparation.shape, preparation.resize) == ((224, 224, 3), 256)


def test_damaged_image_stops_or_is_skipped_and_counted(folder):
    good = (folder / "dog" / "3.png").read_bytes()
    (folder / "dog" / "3.png").write_bytes(good[:-30])
    (folder / "cat" / "0.png").write_bytes(b"no image at all")
    with pytest.raises(DataError, match=r"cat.0\.png: image cannot be read.*--on-bad-image skip"):
        load(f"imagefolder:{folder}")
    found = load(f"imagefolder:{folder}", on_bad_image="skip")
    assert (len(found), found.skipped) == (14, 2)
    assert found.labels.tolist() == [0] * 7 + [1] * 7
    assert found.images[:, 0, 0, 1].tolist() == [1, 2, 3, 5, 6, 7, 8, 0, 1, 2, 5, 6, 7, 8]


def test_what_pillow_has_no_decoder_for_is_damaged_too(folder):
    """A texture of an unknown kind, on which Pillow raises NotImplementedError."""
    head = struct.pack("<4s7I44x", b"DDS ", 124, 0x1007, 8, 8, 0, 0, 0) + struct.pack("<2I4s20x", 32, 4, b"XXXX")
    (folder / "dog" / "3.png").write_bytes(head + bytes(84))
    with pytest.raises(DataError, match=r"dog.3\.png: image cannot be read; found Unimplemented pixel format"):
        load(f"imagefolder:{folder}")
    assert load(f"imagefolder:{folder}", on_bad_image="skip").skipped == 1
    preparation = load(f"imagefolder:{folder}", on_bad_image="skip").preparation
    stream = ImageStream(listing(f"imagefolder:{folder}", "all"), preparation, size=4, seed=0, on_bad_image="skip")
    assert sum(len(batch.labels) for batch in stream.epoch(0)) >= 12


def test_the_first_readable_image_of_a_listing(folder, monkeypatch):
    for name in ("0", "1"):
        path = folder / "cat" / f"{name}.png"
        path.write_bytes(path.read_bytes()[:-30])
    whole = load(f"imagefolder:{folder}", "all", on_bad_image="skip")
    found = listing(f"imagefolder:{folder}", "all")
    first = found.first(whole.preparation, "skip")
    np.testing.assert_array_equal(first.images, whole.images[:1])
    assert (first.labels.tolist(), first.classes, first.skipped) == ([0], whole.classes, 0)
    with pytest.raises(DataError, match=r"cat.0\.png: image cannot be read"):
        found.first(whole.preparation)
    monkeypatch.setattr("paring.data._listing._SEARCH", 2)
    with pytest.raises(DataError, match=r"cat.0\.png on: no image could be read; found 2 damaged ones in a row"):
        found.first(whole.preparation, "skip")


def test_images_that_do_not_fit_in_memory_can_be_streamed(folder, monkeypatch):
    monkeypatch.setattr("paring.data._load.MAX_BYTES", 1)
    with pytest.raises(
        DataError, match=r"does not fit in memory; .* training reads all as they are needed with --work"
    ):
        load(f"imagefolder:{folder}")


def test_nothing_readable(folder):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="no image could be read"):
        load(f"imagefolder:{folder}", on_bad_image="skip")


def test_folder_mistakes(folder, tmp_path_factory):
    with pytest.raises(DataError, match="nowhere: folder does not exist"):
        load("imagefolder:nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="empty: class folder has no images"):
        load(f"imagefolder:{folder}")
    bare = tmp_path_factory.mktemp("bare")
    with pytest.raises(DataError, match="has no class folders"):
        load(f"imagefolder:{bare}")
    (bare / "train" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="no test part; expected test or val or valid or validation"):
        load(f"imagefolder:{bare}", "test")


def png(number):
    out = BytesIO()
    PIL.new("L", (8, 8), number).save(out, "PNG")
    return out.getvalue()


def write_parquet(path, rows, *, names=("a", "b", "c"), plain=False, label="label"):
    """A file in the hub's layout; rows are (image bytes, label)."""
    import json

    import pyarrow
    from pyarrow import parquet

    images = [image if plain or image is None else {"bytes": image, "path": "x.png"} for image, _ in rows]
    table = pyarrow.table({"image": images, label: pyarrow.array([value for _, value in rows], pyarrow.int64())})
    if names:
        features = {label: {"names": list(names), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=4)


@pytest.fixture
def parquets(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [(png(i), i % 3) for i in range(10)])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [(png(10 + i), i % 3) for i in range(7)])
    write_parquet(tmp_path / "test-00000-of-00001.parquet", [(png(100 + i), 2) for i in range(5)])
    return tmp_path


def test_parquet_shards_and_splits(parquets):
    train = load(f"parquet:{parquets}/*.parquet", "train")
    assert train.images[:, 0, 0, 0].tolist() == list(range(17))
    assert train.labels.tolist() == [i % 3 for i in range(10)] + [i % 3 for i in range(7)]
    assert train.classes == ("a", "b", "c")
    test = load(f"parquet:{parquets}", "test")
    assert test.images[:, 0, 0, 0].tolist() == [100, 101, 102, 103, 104]
    assert len(load(f"parquet:{parquets}", "all")) == 22
    assert load(f"parquet:{parquets}", limit=3).images[:, 0, 0, 0].tolist() == [0, 5, 11]


def test_parquet_plain_bytes_without_names_is_split_by_the_held_out_rule(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    write_parquet(tmp_path / "pets.parquet", [(png(i), 0) for i in range(10)], names=(), plain=True)
    assert load(f"parquet:{tmp_path}/pets.parquet", "test").images[:, 0, 0, 0].tolist() == [4, 9]
    assert load(f"parquet:{tmp_path}/pets.parquet", "test").classes == ("0",)


def test_parquet_mistakes(parquets):
    with pytest.raises(DataError, match="no file matches"):
        load(f"parquet:{parquets}/none*.parquet")
    with pytest.raises(DataError, match="no file of the test split"):
        load(f"parquet:{parquets}/train*.parquet", "test")
    write_parquet(parquets / "train-00001-of-00002.parquet", [(png(1), 0), (png(1), 3)])
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet, row 1: label is out of range; found 3"):
        load(f"parquet:{parquets}")
    write_parquet(parquets / "train-00001-of-00002.parquet", [(png(1), 0), (png(1), None)])
    with pytest.raises(DataError, match="label is missing"):
        load(f"parquet:{parquets}")
    write_parquet(parquets / "train-00001-of-00002.parquet", [(png(1), 0), (b"junk", 1)])
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet, row 1: image cannot be read"):
        load(f"parquet:{parquets}")
    write_parquet(parquets / "train-00001-of-00002.parquet", [(png(1), 0), (None, 1)])
    with pytest.raises(DataError, match="row 1: row holds no image bytes"):
        load(f"parquet:{parquets}")
    write_parquet(parquets / "train-00001-of-00002.parquet", [(png(1), 0)], names=("x", "y", "z"))
    with pytest.raises(DataError, match="disagree about the class names"):
        load(f"parquet:{parquets}")
    write_parquet(parquets / "train-00001-of-00002.parquet", [(png(1), 0)], label="breed")
    with pytest.raises(DataError, match="column is missing; found image, breed; expected label or"):
        load(f"parquet:{parquets}")
    data = (parquets / "test-00000-of-00001.parquet").read_bytes()
    for broken in (data[:-20], b"", b"PAR1" + bytes(100) + b"PAR1"):
        (parquets / "train-00001-of-00002.parquet").write_bytes(broken)
        with pytest.raises(DataError, match="damaged"):
            load(f"parquet:{parquets}")
    write_parquet(parquets / "more.parquet", [(png(1), 0)])
    with pytest.raises(DataError, match="some files name their split"):
        load(f"parquet:{parquets}")


@pytest.fixture
def store(parquets):
    """The same files in a store that only fsspec reaches, and the store."""
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    store = fsspec.filesystem("memory")
    for path in parquets.glob("*.parquet"):
        store.pipe_file(f"/bucket/pets/{path.name}", path.read_bytes())
    yield store
    store.rm("/bucket", recursive=True)


def test_parquet_from_a_store(parquets, store):
    local = load(f"parquet:{parquets}", "train")
    for where in ("memory://bucket/pets", "memory://bucket/pets/*.parquet"):
        train = load(f"parquet:{where}", "train")
        np.testing.assert_array_equal(train.images, local.images)
        assert (train.labels.tolist(), train.classes) == (local.labels.tolist(), local.classes)
    assert len(load("parquet:memory://bucket/pets", "test")) == 5


def test_a_store_is_read_by_row_groups_when_they_are_needed(store, monkeypatch):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    rng = np.random.default_rng(0)
    noisy = [BytesIO() for _ in range(64)]
    for out in noisy:
        PIL.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(out, "PNG")
    out = BytesIO()
    write_parquet(out, [(image.getvalue(), 0) for image in noisy])  # 16 row groups of 4
    store.pipe_file("/bucket/large/train-0.parquet", out.getvalue())
    read, kind = [], type(store.open("/bucket/large/train-0.parquet"))

    def counted(file, *size, plain=kind.read):
        found = plain(file, *size)
        read.append(len(found))
        return found

    monkeypatch.setattr(kind, "read", counted)
    found = listing("parquet:memory://bucket/large", "all")
    assert len(set(found.blocks.tolist())) == 16
    assert 0 < sum(read) < len(out.getvalue()) / 4  # labels and the footer
    read.clear()
    assert list(found.fetch(np.array([9, 8]))) == [noisy[9].getvalue(), noisy[8].getvalue()]
    assert 0 < sum(read) < len(out.getvalue()) / 8


def test_mistakes_with_stores(store):
    with pytest.raises(DataError, match="no file matches"):
        load("parquet:memory://bucket/none/*.parquet")
    with pytest.raises(DataError, match=r"parquet:nowhere://x: address cannot be read; found ValueError.*package"):
        load("parquet:nowhere://x")
    store.pipe_file("/bucket/pets/train-00001-of-00002.parquet", b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(DataError, match=r"memory://.*train-00001-of-00002\.parquet: Parquet file cannot be read"):
        load("parquet:memory://bucket/pets")


def test_hub_with_the_library_itself(parquets, monkeypatch, tmp_path_factory):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # it was read when the library was imported
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    train = load(f"hub:{parquets}", "train")
    assert train.images[:, 0, 0, 0].tolist() == list(range(17))
    assert train.classes == ("a", "b", "c")
    assert load(f"hub:{parquets}", "test").labels.tolist() == [2] * 5
    with pytest.raises(DataError, match="could not be loaded"):
        load("hub:nobody/nothing-of-this-name")


def test_hub_in_memory(monkeypatch):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    features = datasets.Features(
        {"picture": datasets.Image(), "id": datasets.Value("string"), "kind": datasets.ClassLabel(names=["p", "q"])}
    )
    rows = {
        "picture": [PIL.new("L", (4, 4), i) for i in range(10)],
        "id": ["x"] * 10,
        "kind": [i // 5 for i in range(10)],
    }
    table = datasets.Dataset.from_dict(rows, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config: datasets.DatasetDict(train=table))
    found = load("hub:someone/pets", "test")
    assert found.classes == ("p", "q")
    assert found.images[:, 0, 0, 0].tolist() == [4, 9]


def test_folders_inside_a_class_belong_to_it(folder):
    (folder / "cat" / "more" / "still more").mkdir(parents=True)
    (folder / "cat" / ".hidden").mkdir()
    for place in ("more", "more/still more", ".hidden"):
        PIL.new("RGB", (20, 16), (0, 200, 7)).save(folder / "cat" / place / "a.png")
    found = load(f"imagefolder:{folder}", "all")
    assert np.bincount(found.labels).tolist() == [12, 10]


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_a_class_may_be_called_like_a_split(folder, name):
    (folder / "dog").rename(folder / name)
    assert load(f"imagefolder:{folder}", "all").classes == ("cat", name)


def test_a_picture_that_needs_too_much_memory_is_a_bad_one(folder, monkeypatch):
    whole = _decode.pixels

    def pixels(image, preparation):
        if image[0, 0, 1] == 3:
            raise MemoryError
        return whole(image, preparation)

    monkeypatch.setattr(_decode, "pixels", pixels)
    assert len(load(f"imagefolder:{folder}", "all", on_bad_image="skip")) == 18
    with pytest.raises(DataError, match=r"3\.png: image cannot be read; found MemoryError"):
        load(f"imagefolder:{folder}", "all")


def test_deep_samples_are_read_by_their_white_level(tmp_path):
    (tmp_path / "only").mkdir()
    for number in range(5):
        PIL.fromarray(np.full((6, 6), 819 * number, np.uint16)).save(tmp_path / "only" / f"{number}.png")
    with pytest.raises(DataError, match=r"0\.png: image cannot be read; found nothing says which value.*white"):
        load(f"imagefolder:{tmp_path}", "all")
    found = load(f"imagefolder:{tmp_path}", "all", white=4095.0)
    assert found.images[:, 0, 0, 0].tolist() == [0, 51, 102, 153, 204]
    assert found.preparation.white == 4095
