"""Streaming: the same batches whatever the workers, any start, bad images, bounded buffers, no process left behind."""

import os
import signal
import subprocess
import sys
import time
from io import BytesIO

import numpy as np
import pytest
import torch

from paring import data, training
from paring.errors import ArgumentError, DataError, TrainingError
from paring.image import Preparation
from paring.training.input._stream import order

PIL = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

PLAIN = Preparation(16, 16, 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), 18)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """60 smooth JPEGs of many sizes in two classes; the label and the number can be read from the name."""
    root, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(1)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for number in range(30):
            small = PIL.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
            size = (int(rng.integers(20, 90)), int(rng.integers(20, 90)))
            small.resize(size, PIL.Resampling.BICUBIC).save(root / name / f"{number:02}.jpg", quality=90)
    return root


@pytest.fixture(scope="module")
def shards(photographs, tmp_path_factory):
    """The same files in three Parquet files, row groups of 7."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root = tmp_path_factory.mktemp("shards")
    paths = sorted(photographs.rglob("*.jpg"))
    for number in range(3):
        part = paths[number * 20 : number * 20 + 20]
        column = [{"bytes": path.read_bytes(), "path": path.name} for path in part]
        table = pa.table({"image": column, "label": [int(path.parent.name == "dog") for path in part]})
        pq.write_table(table, root / f"part-{number}.parquet", row_group_size=7)
    return root


def stream(root, **changes):
    kind = "parquet" if any(root.glob("*.parquet")) else "imagefolder"
    return training.ImageStream(data.listing(f"{kind}:{root}", "all"), PLAIN, **{"size": 12, "seed": 5, **changes})


def seen(batches):
    return [(b.images.numpy().tobytes(), b.labels.tolist(), b.indices.tolist()) for b in batches]


@pytest.mark.parametrize("where", ["photographs", "shards"])
def test_batches_do_not_depend_on_the_number_of_workers_and_can_start_anywhere(where, request):
    root = request.getfixturevalue(where)
    one = stream(root, augment="imagenet,color:0.2", window=24)
    first = seen(one.epoch(3))
    assert len(first) == len(one) == 5
    assert sorted(i for _, _, indices in first for i in indices) == list(range(60))
    assert seen(one.epoch(4)) != first
    two = stream(root, augment="imagenet,color:0.2", window=24, workers=2, prefetch=1)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert seen(two.epoch(3)) == first
    for _ in two.epoch(0):
        break  # dropped in the middle: what its workers still do must not reach the next epoch
    for start in (1, 3, 4, 5):
        assert seen(two.epoch(3, start)) == first[start:]
    assert torch.equal(torch.random.get_rng_state(), before)
    two.close()


def test_processes_see_the_slices_of_what_one_sees(shards):
    whole = stream(shards, augment="alexnet,erase", window=24)
    batches = list(whole.epoch(1))
    shares = [list(stream(shards, augment="alexnet,erase", window=24, rank=r, world=3).epoch(1)) for r in range(3)]
    shares[1] = list(training.sliced(whole, 1, 3).epoch(1))
    for batch, *parts in zip(batches, *shares, strict=True):
        assert torch.equal(batch.indices, torch.cat([part.indices for part in parts]))
        torch.testing.assert_close(torch.cat([part.images for part in parts]), batch.images, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("device", ["meta", "cuda"])
def test_images_are_augmented_on_the_device(photographs, device):
    """As of Batches: the meta device refuses every sum with a tensor from elsewhere."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    there, here = (stream(photographs, augment="imagenet,color,erase", device=where) for where in (device, "cpu"))
    for given, expected in zip(there.epoch(0), here.epoch(0), strict=True):
        assert given.images.device.type == device
        assert given.images.shape == expected.images.shape
        if device == "cuda":
            torch.testing.assert_close(given.images.cpu(), expected.images, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("workers", [0, 1])
def test_without_a_cut_a_stream_gives_what_memory_gives(shards, workers):
    """The judge is the set decoded into memory, normalized by the runtime."""
    loaded = data.load(f"parquet:{shards}", "all", preparation=PLAIN)
    streamed = stream(shards, workers=workers)
    for batch in streamed.epoch(0):
        expected = np.stack([loaded.prepared(int(i), int(i) + 1)[0] for i in batch.indices])
        np.testing.assert_array_equal(batch.images.permute(0, 2, 3, 1).numpy(), expected)
        np.testing.assert_array_equal(batch.labels.numpy(), loaded.labels[batch.indices.numpy()])


def test_cut_boxes_are_pillows_crops_to_a_level(photographs):
    """The draws are repeated here; the judge crops and scales the whole decoded photograph with Pillow."""
    paths = sorted(photographs.rglob("*.jpg"))
    streamed = stream(photographs, augment="resized-crop:0.3:1", size=20)
    compared = 0
    for step, batch in enumerate(streamed.epoch(2)):
        drawn = torch.rand(20, 22, generator=training.generator(5, 2, step, "cut")).tolist()
        for image, index, row in zip(batch.images, batch.indices.tolist(), drawn, strict=True):
            photo = PIL.open(paths[index])
            top, left, h, w = training.rectangle(row, photo.height, photo.width, (0.3, 1), (3 / 4, 4 / 3))
            if min(h, w) >= 32:  # decoded at half size: tested below
                continue
            made = photo.crop((left, top, left + w, top + h)).resize((16, 16), PIL.Resampling.BILINEAR)
            mean, std = np.array(PLAIN.mean), np.array(PLAIN.std)
            levels = (image.permute(1, 2, 0).numpy() * std + mean) * 255
            assert np.abs(levels - np.asarray(made)).max() <= 1.1
            compared += 1
    assert compared > 20


def test_large_photographs_are_decoded_small_and_look_the_same(tmp_path):
    (tmp_path / "only").mkdir()
    small = PIL.fromarray(np.random.default_rng(2).integers(0, 256, (6, 6, 3), np.uint8))
    small.resize((333, 271), PIL.Resampling.BICUBIC).save(tmp_path / "only" / "0.jpg", quality=95)
    batch = next(iter(stream(tmp_path, augment="resized-crop:0.5:1", size=1).epoch(0)))
    row = torch.rand(1, 22, generator=training.generator(5, 0, 0, "cut"))[0].tolist()
    photo = PIL.open(tmp_path / "only" / "0.jpg")
    top, left, h, w = training.rectangle(row, 271, 333, (0.5, 1), (3 / 4, 4 / 3))
    made = np.asarray(photo.crop((left, top, left + w, top + h)).resize((16, 16), PIL.Resampling.BILINEAR))
    levels = (batch.images[0].permute(1, 2, 0).numpy() * np.array(PLAIN.std) + np.array(PLAIN.mean)) * 255
    assert np.abs(levels - made).mean() < 5  # the box lies on the draft's pixels: up to half an output pixel off
    assert np.abs(levels - made[:, ::-1]).mean() > 15


def test_photographs_that_lie_on_their_side_are_cut_upright(tmp_path):
    (tmp_path / "only").mkdir()
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30] = 255  # bright left half; turned clockwise it is the upper half
    exif = PIL.Exif()
    exif[0x0112] = 6
    PIL.fromarray(pixels).save(tmp_path / "only" / "0.jpg", quality=95, exif=exif)
    batch = next(iter(stream(tmp_path, augment="resized-crop:1:1:0.66:0.67", size=1).epoch(0)))
    levels = batch.images[0, 0] * PLAIN.std[0] + PLAIN.mean[0]
    assert levels[:7].min() > 0.9
    assert levels[9:].max() < 0.1


def test_gray_png_and_color_are_brought_to_the_channels_asked(tmp_path):
    (tmp_path / "only").mkdir()
    PIL.new("L", (30, 30), 77).save(tmp_path / "only" / "0.png")
    PIL.new("RGBA", (30, 40), (77, 77, 77, 3)).save(tmp_path / "only" / "1.png")
    found = data.listing(f"imagefolder:{tmp_path}", "all")
    for channels in (1, 3):
        plain = Preparation(8, 8, channels, (0.0,) * channels, (1.0,) * channels)
        batch = next(iter(training.ImageStream(found, plain, size=2, augment="imagenet").epoch(0)))
        torch.testing.assert_close(batch.images, torch.full((2, channels, 8, 8), 77 / 255))


def test_order_shuffles_blocks_and_windows():
    blocks = np.repeat(np.arange(20), 10)
    found = order(200, blocks, 40, training.generator(1))
    assert sorted(found.tolist()) == list(range(200))
    for start in range(0, 200, 40):  # four whole blocks, in no order
        window = found[start : start + 40]
        assert len(set(blocks[window].tolist())) == 4
        assert window.tolist() != sorted(window.tolist())
    assert order(200, blocks, 40, training.generator(2)).tolist() != found.tolist()


@pytest.fixture
def damaged(photographs, tmp_path):
    """30 and 30 photographs: one cut short, one that is text, and the two after these in the list."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for path in (photographs / name).iterdir():
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    cut = tmp_path / "cat" / "03.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    (tmp_path / "cat" / "04.jpg").write_bytes(b"words, not pixels")
    (tmp_path / "dog" / "29.jpg").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("augment", ["none", "imagenet"])
def test_damaged_images_are_named_and_stop(damaged, augment):
    with pytest.raises(DataError, match=r"(03|04|29)\.jpg: image cannot be read; found .*on_bad_image='skip'"):
        list(stream(damaged, augment=augment, workers=1).epoch(0))


def test_damaged_images_give_their_place_to_the_next(damaged):
    one = stream(damaged, augment="imagenet", on_bad_image="skip")
    plan, batches = one.order(0).reshape(-1, 12), list(one.epoch(0))
    instead = {3: 5, 4: 5, 59: 0}
    for wanted, batch in zip(plan, batches, strict=True):
        assert batch.indices.tolist() == [instead.get(i, i) for i in wanted.tolist()]
        assert batch.labels.tolist() == [int(i >= 30) for i in batch.indices.tolist()]
    assert [os.path.basename(name) for name in one.bad] == ["03.jpg", "04.jpg", "29.jpg"]
    assert "truncated" in next(iter(one.bad.values()))
    two = stream(damaged, augment="imagenet", on_bad_image="skip", workers=2)
    assert seen(two.epoch(0)) == seen(batches)
    assert two.bad == one.bad
    two.close()


def test_scoring_leaves_damaged_images_out(damaged):
    found = data.listing(f"imagefolder:{damaged}", "all")
    reader = training.InOrder(found, PLAIN, size=7, on_bad_image="skip")
    assert [i for b in reader for i in b.indices.tolist()] == [i for i in range(60) if i not in (3, 4, 59)]
    assert len(reader.bad) == 3


def test_scoring_reads_every_image_once_in_all_processes_together(shards):
    found, loaded = data.listing(f"parquet:{shards}", "all"), data.load(f"parquet:{shards}", "all", preparation=PLAIN)
    shares = [list(training.InOrder(found, PLAIN, size=8, workers=r == 1, rank=r, world=7)) for r in range(7)]
    assert [len(training.InOrder(found, PLAIN, size=8, rank=r, world=7)) for r in range(7)] == list(map(len, shares))
    assert [i for share in shares for b in share for i in b.indices.tolist()] == list(range(60))
    images = torch.cat([b.images for share in shares for b in share]).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(images, loaded.prepared())


def test_nothing_readable_at_all_is_one_error(tmp_path):
    (tmp_path / "only").mkdir()
    for number in range(4):
        (tmp_path / "only" / f"{number}.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no image could be read"):
        list(stream(tmp_path, size=2, on_bad_image="skip").epoch(0))
    with pytest.raises(DataError, match="no image could be read; found 4 bad ones"):
        data.listing(f"imagefolder:{tmp_path}", "all").sample(PLAIN, on_bad_image="skip")


def test_wrong_labels_empty_folders_and_wrong_arguments(photographs, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    meta = {b"huggingface": b'{"info": {"features": {"label": {"names": ["a", "b"]}}}}'}
    table = pa.table({"image": [b"x"] * 3, "label": [0, 1, 2]}).replace_schema_metadata(meta)
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet, row 2: label is out of range; found 2; expected 0 \.\. 1"):
        data.listing(f"parquet:{tmp_path}", "all")
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="class folder has no images"):
        data.listing(f"imagefolder:{tmp_path}", "all")
    for changes, words in (
        ({"size": 61}, "1 to 60"),
        ({"workers": -1}, "invalid workers"),
        ({"world": 5}, "5 processes cannot share a batch evenly"),
        ({"on_bad_image": "hide"}, "stop or skip"),
        ({"window": 0}, "invalid window"),
        ({"augment": "imagenat"}, "expected imagenet"),
    ):
        with pytest.raises(ArgumentError, match=words):
            stream(photographs, **changes)


def test_two_epochs_at_once_are_refused(photographs):
    one = stream(photographs)
    first = one.epoch(0)
    next(first)
    next(one.epoch(1))
    with pytest.raises(ArgumentError, match="two epochs at once"):
        next(first)


class Endless:
    """A listing of a million images, all the same file; counts what is fetched."""

    name, split, classes, plain = "endless", "train", ("a",), False

    def __init__(self, blocks=None):
        buffer = BytesIO()
        PIL.new("RGB", (20, 20), (9, 9, 9)).save(buffer, "JPEG")
        self.file, self.labels, self.fetched = buffer.getvalue(), np.zeros(1_000_000, np.int64), 0
        self.blocks = None if blocks is None else np.arange(1_000_000) // blocks

    def __len__(self):
        return len(self.labels)

    def fetch(self, positions):
        self.fetched += len(positions)
        return [self.file] * len(positions)


@pytest.mark.parametrize("blocks", [None, 50])
def test_no_more_is_held_than_the_buffers(blocks):
    """Encoded images fetched ahead of the batch in hand, and bytes of decoded ones, are bounded however large the set.

    With workers = 0 a task is decoded when it is asked for, so all that is fetched and not used waits in lots."""
    endless = Endless(blocks)
    streamed = training.ImageStream(endless, PLAIN, size=64, augment="imagenet", window=640)
    lot = 640 if blocks else 512
    for used, _ in enumerate(streamed.epoch(0), 1):
        assert endless.fetched <= used * 64 + 2 * lot
        assert streamed.decoders.memory.nbytes <= 2 * 64 * 16 * 16 * 3
        if used == 40:
            break
    assert streamed.decoders.waiting <= 2 * lot


def test_a_start_in_the_middle_reads_nothing_before_it():
    endless = Endless(50)
    streamed = training.ImageStream(endless, PLAIN, size=64, window=640)
    batches = streamed.epoch(0, 9_007)
    next(batches)
    assert endless.fetched <= (10 - 9_007 % 10 + 10) * 64


def test_shared_memory_is_as_large_as_its_slots():
    large = Preparation(224, 224, 3, (0.0,) * 3, (1.0,) * 3)
    streamed = training.ImageStream(Endless(), large, size=256, augment="imagenet", workers=2, prefetch=2)
    next(streamed.epoch(0))
    assert streamed.decoders.memory.nbytes <= (2 * 2 + 2) * (4 << 20)
    assert streamed.decoders.memory.is_shared()
    streamed.close()


def test_the_choice_between_memory_and_stream(photographs, shards, tmp_path):
    spec = f"imagefolder:{photographs}"
    common = {"split": "all", "preparation": PLAIN, "batch": 12, "seed": 5}
    assert isinstance(training.source(spec, **common), training.Batches)
    assert isinstance(training.source(spec, **common, memory=60 * 16 * 16 * 3 - 1), training.ImageStream)
    assert isinstance(training.source(spec, **common, augment="imagenet"), training.ImageStream)
    assert isinstance(training.source(spec, **common, augment="imagenet", streaming=False), training.Batches)
    found = training.source(f"parquet:{shards}", "all", size=16, batch=4, streaming=True)
    assert found.preparation.shape == (16, 16, 3)
    a = training.source(spec, **common)
    b = training.source(spec, **common, streaming=True)
    for x, y in zip(a.epoch(0), b.epoch(0), strict=True):  # one order, one arithmetic
        assert torch.equal(x.indices, y.indices)
        assert torch.equal(x.images, y.images)
    with pytest.raises(ArgumentError, match="one or the other"):
        training.source(spec, **common, size=3)


def test_training_from_a_stream_resumes_to_the_same_bits(photographs):
    def trained(stop):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2))
        source, at, steps = stream(photographs, augment="imagenet"), training.Position(), 0

        def after(number):
            nonlocal steps
            steps += 1
            if steps == stop:
                raise InterruptedError

        for _ in range(2):
            try:
                optimizer = training.optimizer(net.parameters(), "sgd", lr=0.01, momentum=0.0)
                training.fit(net, source, optimizer, epochs=2, position=at, after_step=after, progress=False)
                break
            except InterruptedError:
                source = stream(photographs, augment="imagenet", workers=1)
        return net[1].weight.detach()

    assert torch.equal(trained(None), trained(7))


def test_a_worker_that_is_killed_is_reported(photographs):
    streamed = stream(photographs, workers=1, size=4, prefetch=1)
    batches = streamed.epoch(0)
    next(batches)
    os.kill(streamed.decoders.pids()[0], signal.SIGKILL)
    with pytest.raises(TrainingError, match="decoding process died"):
        list(batches)
    assert len(list(streamed.epoch(0))) == 15  # and the next epoch starts new ones
    streamed.close()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


CHILD = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
from paring import data, training
from paring.image import Preparation
listing = data.listing(sys.argv[1], "all")
plain = Preparation(16, 16, 3, (0.0,) * 3, (1.0,) * 3, 18)
stream = training.ImageStream(listing, plain, size=6, workers=2)
batches = stream.epoch(0)
next(batches)
print(*stream.decoders.pids(), flush=True)
if sys.argv[2] == "error":
    raise SystemExit(3)
time.sleep(60)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize("way", ["error", "interrupt", "kill"])
def test_no_process_is_left_behind(photographs, way):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, f"imagefolder:{photographs}", way],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pids = [int(word) for word in child.stdout.readline().split()]
    assert len(pids) == 2
    if way != "error":
        child.send_signal(signal.SIGINT if way == "interrupt" else signal.SIGKILL)
    child.wait(20)
    end = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, pids))
    child.stdout.close()
    child.stderr.close()
