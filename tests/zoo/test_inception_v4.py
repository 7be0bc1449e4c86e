import pytest

torch = pytest.importorskip("torch")
from paring import zoo  # noqa: E402
from tests.zoo.macs import (  # noqa: E402
    check_card,
    check_trains_and_keeps_images_apart,
    layer_macs,
    on_meta,
    parameters,
    quick,
    stage,
)

TABLE = [  # modules of `features` (first, last), parameters, M MACs
    ((0, 2), 28_768, 616.63),
    ((3, 3), 55_488, 294.67),
    ((4, 4), 189_312, 972.22),
    ((5, 5), 332_160, 406.43),
    ((6, 9), 1_270_528, 1550.44),
    ((10, 10), 2_306_112, 1097.16),
    ((11, 17), 20_553_792, 5930.85),
    ((18, 18), 2_747_392, 511.10),
    ((19, 21), 13_659_264, 872.94),
]
OUTPUTS = {2: (64, 147), 3: (160, 73), 4: (192, 71), 5: (384, 35), 9: (384, 35), 10: (1024, 17), 18: (1536, 8)}


def test_step_by_step():
    check_card("inception_v4")
    model = on_meta("inception_v4")
    sizes = {}
    for number in OUTPUTS:
        model.features[number].register_forward_hook(
            lambda m, i, o, number=number: sizes.update({number: (o.shape[1], o.shape[2])})
        )
    counted = layer_macs(model, (3, 299, 299))
    assert sizes == OUTPUTS
    for (first, last), count, mega in TABLE:
        assert stage(model, counted, *(f"features.{i}" for i in range(first, last + 1))) == (count, mega)
    assert parameters(model) == 42_679_816


def test_trains():
    check_trains_and_keeps_images_apart(quick("inception_v4", num_classes=5), (3, 75, 75))


def test_the_ports_weights_with_a_background_class():
    """The published weights have 1001 classes: the classifier is left fresh and named, or loaded into 1001."""
    source = on_meta("inception_v4", num_classes=1001).state_dict()
    given = {name.replace("fc.", "last_linear."): torch.zeros(t.shape, dtype=t.dtype) for name, t in source.items()}
    model = on_meta("inception_v4")
    with pytest.warns(UserWarning, match="fc keeps fresh weights: 1001 classes there, 1000"):
        report = zoo.load_weights(model, given)
    assert report.reinitialized == ("fc",)
    assert zoo.load_weights(on_meta("inception_v4", num_classes=1001), given).reinitialized == ()
