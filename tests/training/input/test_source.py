"""Streams from the datasets library and from stores, and memory that does not grow with the set."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from paring import data, training
from paring.image import Preparation

PIL = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
PLAIN = Preparation(16, 16, 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def jpeg(rng, side):
    out = BytesIO()
    small = PIL.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
    small.resize((side, side), PIL.Resampling.BICUBIC).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """48 photographs in two Parquet files, row groups of 6."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root, rng = tmp_path_factory.mktemp("shards"), np.random.default_rng(1)
    for number in range(2):
        column = [{"bytes": jpeg(rng, 16), "path": "x.jpg"} for _ in range(24)]
        table = pa.table({"image": column, "label": [n % 3 for n in range(24)]})
        pq.write_table(table, root / f"train-{number}.parquet", row_group_size=6)
    return root


@pytest.fixture
def spec(request, shards, monkeypatch, tmp_path):
    if request.param == "hub":
        datasets = pytest.importorskip("datasets", reason="datasets is not installed")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
        yield f"hub:{shards}"
        return
    store = pytest.importorskip("fsspec", reason="fsspec is not installed").filesystem("memory")
    for path in shards.iterdir():
        store.pipe_file(f"/photographs/{path.name}", path.read_bytes())
    yield "parquet:memory://photographs"
    store.rm("/photographs", recursive=True)


@pytest.mark.parametrize("spec", ["hub", "store"], indirect=True)
def test_a_stream_gives_the_images_of_the_set_whatever_the_workers(spec, shards):
    loaded = data.load(f"parquet:{shards}", "all", preparation=PLAIN)
    found = data.listing(spec, "all")
    np.testing.assert_array_equal(found.labels, loaded.labels)
    seen = []
    for workers in (0, 2):
        streamed = training.ImageStream(found, PLAIN, size=8, seed=4, window=16, workers=workers)
        batches = list(streamed.epoch(1))
        indices = torch.cat([batch.indices for batch in batches]).numpy()
        assert sorted(indices.tolist()) == list(range(48))
        images = torch.cat([batch.images for batch in batches]).permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(images, loaded.prepared()[indices])
        assert [b.indices.tolist() for b in streamed.epoch(1, 3)] == [b.indices.tolist() for b in batches[3:]]
        streamed.close()
        seen.append(indices.tolist())
    assert seen[0] == seen[1]
    assert seen[0] != list(range(48))


def own_memory():
    """MiB of this process that are not pages of files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return (int(lines["RssAnon"].split()[0]) + int(lines["RssShmem"].split()[0])) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", ["imagefolder", "parquet"])
def test_memory_is_flat_over_an_epoch(kind, tmp_path):
    """An epoch of 150 MB of decoded images and as much again of float batches goes by; the buffers are 15 MB."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file, count = jpeg(np.random.default_rng(0), 128), 3000
    if kind == "imagefolder":
        (tmp_path / "only").mkdir()
        (tmp_path / "only" / "0.jpg").write_bytes(file)
        for number in range(1, count):
            (tmp_path / "only" / f"{number}.jpg").symlink_to("0.jpg")
    else:
        table = pa.table({"image": [file + bytes(5000)] * count, "label": [0] * count})  # 15 MB of encoded ones
        pq.write_table(table, tmp_path / "train.parquet", row_group_size=100, use_dictionary=False)
    prepared = Preparation(128, 128, 3, (0.5,) * 3, (0.25,) * 3)
    streamed = training.ImageStream(
        data.listing(f"{kind}:{tmp_path}", "all"), prepared, size=50, augment="resized-crop,flip", window=200
    )
    seen = [own_memory() for _ in streamed.epoch(0)]
    assert len(seen) == 60
    warm = np.array(seen[15:])
    print(f"{kind}: {warm.min():.1f} to {warm.max():.1f} MiB, last third {warm[-15:].mean() - warm[:15].mean():+.1f}")
    assert warm[-15:].mean() - warm[:15].mean() < 8
    assert np.ptp(warm) < 30
