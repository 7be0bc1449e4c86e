import subprocess
import sys
import textwrap

import pytest

from paring import zoo
from paring.errors import ArgumentError, ParingError

pytest.importorskip("torch")


def test_list_is_sorted_and_takes_patterns():
    everything = zoo.list()
    assert everything == sorted(set(everything))
    assert set(zoo.list("lenet_5*")) == {"lenet_5_caffe", "lenet_5_1998", "lenet_5_modern"}
    assert zoo.list("no such*") == []


def test_unknown_name_answers_with_the_nearest():
    with pytest.raises(ArgumentError, match="lenet_5_caffe"):
        zoo.create("lenet5_caffe")
    with pytest.raises(ArgumentError, match="no such network"):
        zoo.card("§")


def test_unknown_argument_answers_with_the_nearest():
    with pytest.raises(ArgumentError, match="num_classes"):
        zoo.create("lenet_5_caffe", num_clases=3)


def test_cards_say_where_their_numbers_come_from():
    for name in zoo.list():
        card = zoo.card(name)
        assert card.name == name
        assert 1989 <= card.year <= 2030, name
        assert len(card.paper) > 10, name
        assert card.parameters > 0, name
        assert card.macs > 0, name
        assert all(len(entry) == 2 and isinstance(entry[1], str) and entry[1] for entry in card.accuracy.values()), name


def test_one_name_belongs_to_one_family():
    def lenet_5_caffe():
        raise AssertionError

    with pytest.raises(ParingError, match="lenet_5_caffe"):
        zoo.register("lenet_5_caffe", card=zoo.card("lenet_5_caffe"))(lenet_5_caffe)
    assert zoo.card("lenet_5_caffe").family == "lenet"


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_zoo_does_not_import_torch():
    assert _python("import sys, paring.zoo; print('torch' in sys.modules)") == "False"


def test_without_torch_the_error_names_the_extra():
    message = _python(
        """
        import sys
        sys.modules["torch"] = None
        from paring import errors, zoo
        try:
            zoo.create("lenet_5_caffe")
        except errors.ParingError as error:
            print(error)
        """
    )
    assert "paring[torch]" in message


def test_create_imports_the_one_family_it_needs():
    out = _python(
        """
        import sys
        from paring import zoo
        zoo.create("lenet_300_100")
        print([m for m in sys.modules if m.startswith("paring.zoo.") and not m.startswith("paring.zoo._")])
        """
    )
    assert out == "['paring.zoo.lenet']"
