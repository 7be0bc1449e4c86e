import itertools
from xml.etree import ElementTree

import numpy as np
import pytest

from paring.distillation import specialists
from paring.distillation.specialists._clusters import online_kmeans
from paring.errors import ArgumentError


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def confused(groups, images=600, seed=0):
    """Predictions of a generalist that often mixes up classes of one group and seldom others."""
    rng = np.random.default_rng(seed)
    classes = sum(map(len, groups))
    logits = rng.normal(size=(images, classes))
    for row in logits:
        group = groups[rng.integers(len(groups))]
        row[list(group)] += rng.uniform(3, 7)
    return softmax(logits)


def test_covariance_is_numpys_however_it_is_cut():
    p = confused([(0, 1), (2, 3, 4)], 101)
    wanted = np.cov(p.T, bias=True)
    np.testing.assert_allclose(specialists.prediction_covariance(p), wanted, atol=1e-15)
    np.testing.assert_allclose(specialists.prediction_covariance(iter([p[:1], p[1:60], p[60:]])), wanted, atol=1e-15)
    np.testing.assert_allclose(specialists.prediction_covariance(p.astype(np.float32)), wanted, atol=1e-7)


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), np.ones((2, 3)), np.array([[1.5, -0.5]]), np.array([0.5, 0.5])])
def test_rows_that_are_no_distribution(rows):
    with pytest.raises(ArgumentError):
        specialists.prediction_covariance(rows)


def inertia(points, labels):
    return sum(((points[labels == k] - points[labels == k].mean(0)) ** 2).sum() for k in set(labels))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [2, 3, 4])
def test_online_kmeans_is_the_best_of_all_partitions(count, seed):
    points = np.random.default_rng(seed).normal(size=(7, 3))
    best = min(
        inertia(points, np.array((0, *labels)))
        for labels in itertools.product(range(count), repeat=6)
        if len({0, *labels}) == count
    )
    assert inertia(points, online_kmeans(points, count, seed)) == pytest.approx(best, rel=1e-9)


def test_equal_points_still_make_clusters():
    labels = online_kmeans(np.zeros((5, 2)), 3)
    assert len(set(labels.tolist())) == 3


def test_classes_that_are_predicted_together_share_a_specialist():
    groups = [(0, 4, 7), (1, 2), (3, 5, 6, 8)]
    covariance = specialists.prediction_covariance(confused(groups))
    for seed in range(3):
        assert specialists.cluster_classes(covariance, 3, seed=seed) == sorted(groups)


def test_minimum_and_overlap_take_the_classes_that_covary_most():
    covariance = np.diag([9.0, 1, 1, 1, 1])
    covariance[0, 2] = covariance[2, 0] = 0.5
    covariance[1, 2] = covariance[2, 1] = covariance[3, 4] = covariance[4, 3] = 0.8
    plain = {"count": 3, "correlation": False}
    assert specialists.cluster_classes(covariance, minimum=1, **plain) == [(0,), (1, 2), (3, 4)]
    assert specialists.cluster_classes(covariance, **plain) == [(0, 2), (1, 2), (3, 4)]
    assert specialists.cluster_classes(covariance, overlap=1, **plain)[1] == (0, 1, 2)


def test_correlation_does_not_care_how_often_a_class_comes():
    groups = [(0, 4, 7), (1, 2), (3, 5, 6, 8)]
    covariance = specialists.prediction_covariance(confused(groups))
    scale = np.array([1, 30, 2, 0.1, 5, 1, 9, 0.3, 2])
    assert specialists.cluster_classes(covariance * np.outer(scale, scale), 3) == sorted(groups)
    assert specialists.cluster_classes(covariance * np.outer(scale, scale), 3, correlation=False) != sorted(groups)


@pytest.mark.parametrize("wrong", [{"count": 1}, {"count": 7}, {"minimum": 6}, {"minimum": 0}, {"overlap": -1}])
def test_numbers_that_cannot_be(wrong):
    with pytest.raises(ArgumentError):
        specialists.cluster_classes(np.eye(6), **{"count": 2, **wrong})


def test_matrices_that_cannot_be():
    for matrix in (np.ones((2, 3)), np.full((3, 3), np.nan)):
        with pytest.raises(ArgumentError, match="covariance"):
            specialists.cluster_classes(matrix, 2)


def test_the_picture_shows_every_class_cell_and_member():
    covariance = specialists.prediction_covariance(confused([(0, 2), (1, 3)]))
    names = ["a<b", "c&d", "cat", "dog"]
    clusters = [(0, 2), (1, 2, 3)]
    tree = ElementTree.fromstring(specialists.covariance_svg(covariance, clusters, names))
    space = {"s": "http://www.w3.org/2000/svg"}
    titles = [t.text for t in tree.findall(".//s:title", space)]
    assert len(titles) == 16
    assert f"cat, a<b: {covariance[2, 0]:.3g}" in titles
    assert len(tree.findall(".//s:circle", space)) == 5
    words = [t.text for t in tree.findall(".//s:text", space)]
    assert sorted(words) == sorted(names * 2 + ["1", "2"])
    with pytest.raises(ArgumentError, match="name"):
        specialists.covariance_svg(covariance, clusters, names[:3])


def test_the_lines_name_the_classes_and_their_correlation():
    p = confused([(0, 2), (1, 3)])
    lines = specialists.covariance_lines(np.cov(p.T), [(0, 2), (1,)], ["plane", "cat", "ship", "dog"])
    r = np.corrcoef(p.T)
    assert lines[0].startswith("specialist 1: plane, ship (correlation within")
    assert f"within {r[0, 2]:+.4f}" in lines[0]
    assert f"others {r[np.ix_([0, 2], [1, 3])].mean():+.4f}" in lines[0]
    assert "within none" in lines[1]
