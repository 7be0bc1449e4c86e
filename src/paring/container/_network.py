"""The network section: everything but the weights' values, as canonical bytes.

``docs/reference/format.md`` draws it. There is one byte string for one network: the reader refuses any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from paring.coding import adaptive
from paring.container._bytes import Reader, Writer
from paring.container._contents import Contents
from paring.container._output import OUTPUTS
from paring.container._primer import PRIMER
from paring.errors import FormatError, ParingError
from paring.forms import FORMS, MAX_RANK, Form
from paring.graph import OPS, PLUGIN, Graph, Node, OpSpec
from paring.image import Preparation

#: Bytes a section may decode to: so many, and so many more for each coded byte, but never more than the last.
_PLAIN_FLOOR, _PLAIN_PER_BYTE, _PLAIN_MOST = 64 << 10, 64, 16 << 20
MAX_NODES = 1 << 16
MAX_CLASSES = 1 << 17
MAX_PROVENANCE = 256
#: Added to the number of channels of a preparation that has a white level.
_WHITE = 4
#: Added to the number of outputs where they have names.
_NAMED = 128
#: Added to that of channels where it is said what the answers are.
_OUTPUT = 8

_OP_NAMES = {spec.number: name for name, spec in OPS.items() if spec.number != PLUGIN}
_FORM_NUMBERS = {kind: number for number, kind in enumerate(FORMS)}
_FORM_CLASSES = list(FORMS.values())
#: A weight as the network section declares it: name, form, shape, parameters.
Declaration = tuple[str, type[Form], tuple[int, ...], dict[str, int]]


def write_graph(out: Writer, graph: Graph) -> list[str]:
    """Append the graph; returns the weights' names in the order of the file."""
    index: dict[str, int] = {}
    order: dict[str, int] = {}
    out.number(len(graph.inputs))
    for name, shape in graph.inputs.items():
        out.text(name)
        _write_shape(out, shape)
        index[name] = len(index)
    out.number(len(graph.nodes))
    ops: Counter[str] = Counter()
    for node in graph.nodes:
        if not node.name:
            raise FormatError("node has no name", where=node.op)
        _write_node(out, node, _default_name(node.op, ops), graph.weights, index, order)
        index[node.name] = len(index)
    out.number(len(graph.outputs) | (_NAMED if graph.output_names else 0))
    for place, name in enumerate(graph.outputs):
        out.number(len(index) - 1 - index[name])
        if graph.output_names:
            out.text(graph.output_names[place])
    return list(order)


def write_facts(out: Writer, contents: Contents) -> None:
    """Append preparation, classes and provenance."""
    preparation = contents.preparation
    marks = _OUTPUT if contents.output else 0
    if preparation is not None:
        marks |= preparation.channels | (_WHITE if preparation.white else 0)
    out.number(marks)
    if contents.output:
        out.number(OUTPUTS.index(contents.output) + 1)
    if preparation is not None:
        if preparation.white:
            out.real(float(preparation.white))
        for number in (preparation.height, preparation.width, preparation.resize):
            out.number(number)
        for value in (*preparation.mean, *preparation.std):
            out.real(float(value))
    out.number(len(contents.classes))
    for name in contents.classes:
        out.text(name)
    out.number(len(contents.provenance))
    for key, fact in sorted(contents.provenance.items()):
        out.text(key)
        out.text(fact)


def plain(contents: Contents) -> tuple[bytes, list[str]]:
    """The whole section before coding, and the weights' names in the order of the file."""
    out = Writer()
    order = write_graph(out, contents.graph)
    write_facts(out, contents)
    return bytes(out.data), order


def encode(data: bytes) -> bytes:
    """Code a plain section."""
    encoder = adaptive.Encoder()
    encoder.teach(PRIMER)
    encoder.text(data)
    return encoder.finish()


def parts(contents: Contents, total: int) -> dict[str, int]:
    """The coded bytes of a section by what they say: the graph, and the facts beside it."""
    graph = Writer()
    write_graph(graph, contents.graph)
    encoder = adaptive.Encoder()
    encoder.teach(PRIMER)
    encoder.text(bytes(graph.data))
    return {"graph": encoder.position, "preparation, classes, provenance": total - encoder.position}


def decode(code: bytes, length: int, where: str) -> bytes:
    """The plain section of ``length`` bytes that :func:`encode` coded.

    Raises:
        FormatError: if it would be too long, or ``code`` is not exactly one code of such a section.
    """
    cap = min(_PLAIN_FLOOR + _PLAIN_PER_BYTE * len(code), _PLAIN_MOST)
    if length > cap:
        raise FormatError("network would decode to too much", where=where, found=length, expected=cap)
    decoder = adaptive.Decoder(code)
    try:
        decoder.teach(PRIMER)
        data = decoder.text(length)
        decoder.finish()
    except FormatError as error:
        raise FormatError(error.what, where=where) from None
    return data


def read(data: bytes, where: str) -> tuple[Callable[[Mapping[str, Form]], Contents], list[Declaration]]:
    """What makes the contents of the weights, and the weights' declarations in the order of their values.

    Raises:
        FormatError: at the first byte that cannot be.
    """
    source = Reader(data, where)
    parts, declarations = _read_graph(source)
    facts = _read_facts(source)
    if source.left:
        raise source.error("bytes are left over", found=source.left)
    inputs, nodes, outputs, names = parts
    return lambda weights: Contents(Graph(inputs, nodes, outputs, weights, names), *facts), declarations


def _default_name(op: str, ops: Counter[str]) -> str:
    """The name of a node that is not given one: ``relu``, ``relu_2``, ... by the number of such nodes; counts it."""
    ops[op] += 1
    return op if ops[op] == 1 else f"{op}_{ops[op]}"


def _write_node(
    out: Writer, node: Node, default: str, weights: Mapping[str, Form], index: dict[str, int], order: dict[str, int]
) -> None:
    spec = OPS[node.op]
    out.number(spec.number)
    if spec.number == PLUGIN:
        out.text(node.op)
    out.text("" if node.name == default else node.name)
    if spec.min_inputs != spec.max_inputs:
        out.number(len(node.inputs))
    for name in node.inputs:
        out.number(len(index) - 1 - index[name])
    if spec.attrs:
        changed = [node.attrs[name] != default for name, default in spec.attrs.items()]
        out.number(sum(1 << i for i, bit in enumerate(changed) if bit))
        for name, bit in zip(spec.attrs, changed, strict=True):
            if bit:
                _write_attr(out, node.attrs[name])
    present = [role in node.weights for role in spec.optional_weights]
    if present:
        out.number(sum(1 << i for i, bit in enumerate(present) if bit))
    for role in _roles(spec, present):
        name = node.weights[role]
        if name in order:
            out.number(2 + len(order) - 1 - order[name])
            continue
        order[name] = len(order)
        implied = name == f"{node.name}.{role}"
        out.number(0 if implied else 1)
        if not implied:
            out.text(name)
        _write_declaration(out, weights[name])


def _roles(spec: OpSpec, present: list[bool]) -> list[str]:
    return [*spec.required_weights, *(r for r, bit in zip(spec.optional_weights, present, strict=True) if bit)]


def _write_declaration(out: Writer, form: Form) -> None:
    out.number(_FORM_NUMBERS[form.kind])
    _write_shape(out, form.shape)
    params = form.params()
    for name in form.param_names:
        out.number(params[name])


def _write_shape(out: Writer, shape: tuple[int, ...]) -> None:
    out.number(len(shape))
    for axis in shape:
        out.number(axis)


def _write_attr(out: Writer, value: Any) -> None:
    if isinstance(value, bool):
        return  # it is there because it is not the default
    if isinstance(value, int):
        out.signed(value)
    elif isinstance(value, float):
        out.real(value)
    elif isinstance(value, str):
        out.text(value)
    else:
        for number in value:
            out.signed(number)


def _read_graph(source: Reader) -> tuple[tuple[Any, Any, Any, Any], list[Declaration]]:
    """Inputs, nodes and outputs, unchecked, and what the weights are to be."""
    names: list[str] = []
    declarations: list[Declaration] = []
    inputs = {}
    for _ in range(source.count(3, 64)):
        name = source.text()
        inputs[name] = _read_shape(source)
        names.append(name)
    nodes = []
    ops: Counter[str] = Counter()
    for _ in range(source.count(3, MAX_NODES)):
        node = _read_node(source, names, ops, declarations)
        nodes.append(node)
        names.append(node.name)
    if len({name for name, *_ in declarations}) < len(declarations):
        raise source.error("two weights have one name")
    count = source.number(_NAMED | (_NAMED - 1))
    if count & ~_NAMED > 64:
        raise source.error("too many outputs", found=count & ~_NAMED, expected="up to 64")
    outputs, output_names = [], []
    for _ in range(count & ~_NAMED):
        outputs.append(_reference(source, names))
        if count & _NAMED:
            output_names.append(source.text())
    return (inputs, nodes, outputs, output_names), declarations


def _read_facts(source: Reader) -> tuple[Preparation | None, tuple[str, ...], dict[str, str], str]:
    preparation, output = None, ""
    marks = source.number(3 | _WHITE | _OUTPUT)
    if marks & _OUTPUT:
        number = source.number(len(OUTPUTS))
        if not number:
            raise source.error("kind of output is none", found=number, expected=f"1 to {len(OUTPUTS)}")
        output = OUTPUTS[number - 1]
    if channels := marks & ~_OUTPUT:
        white = source.real() if channels & _WHITE else 0.0
        channels &= ~_WHITE
        height, width, resize = (source.number(1 << 16) for _ in range(3))
        mean, std = (tuple(source.real() for _ in range(channels)) for _ in range(2))
        try:
            preparation = Preparation(height, width, channels, mean, std, resize, white)
        except ParingError as error:
            raise source.error(error.what, found=error.found, expected=error.expected) from None
    classes = tuple(source.text() for _ in range(source.count(1, MAX_CLASSES)))
    provenance: dict[str, str] = {}
    for _ in range(source.count(2, MAX_PROVENANCE)):
        key = source.text()
        if provenance and key <= next(reversed(provenance)):
            raise source.error("provenance is out of order", found=repr(key))
        provenance[key] = source.text()
    return preparation, classes, provenance, output


def _read_node(source: Reader, names: list[str], ops: Counter[str], declarations: list[Declaration]) -> Node:
    op = _read_op(source)
    spec = OPS[op]
    default = _default_name(op, ops)
    name = source.text() or default
    inputs = spec.min_inputs if spec.min_inputs == spec.max_inputs else source.count(1, spec.max_inputs)
    sources = tuple(_reference(source, names) for _ in range(inputs))
    attrs = dict(spec.attrs)
    if attrs:
        mask = source.number((1 << len(attrs)) - 1)
        for i, (attr, default) in enumerate(spec.attrs.items()):
            if mask >> i & 1:
                attrs[attr] = _read_attr(source, default)
                if attrs[attr] == default:
                    raise source.error(f"attribute {attr!r} is given as its default", found=default)
    present = [False] * len(spec.optional_weights)
    if present:
        mask = source.number((1 << len(present)) - 1)
        present = [bool(mask >> i & 1) for i in range(len(present))]
    weights = {role: _read_weight(source, f"{name}.{role}", declarations) for role in _roles(spec, present)}
    return Node(name, op, sources, attrs, weights)


def _read_op(source: Reader) -> str:
    number = source.number(PLUGIN)
    if number != PLUGIN:
        if number not in _OP_NAMES:
            raise source.error("unknown operator", found=number)
        return _OP_NAMES[number]
    op = source.text()
    if op not in OPS or OPS[op].number != PLUGIN:
        fix = "Register it before the file is read: paring.graph.register_operator"
        raise source.error("operator is none of this release's and not registered", found=repr(op), fix=fix)
    return op


def _read_weight(source: Reader, implied: str, declarations: list[Declaration]) -> str:
    how = source.number(1 + len(declarations))
    if how > 1:
        return declarations[len(declarations) - 1 - (how - 2)][0]
    name = implied if how == 0 else source.text()
    kind = _FORM_CLASSES[source.number(len(_FORM_CLASSES) - 1)]
    shape = _read_shape(source)
    params = {param: source.number(1 << 32) for param in kind.param_names}
    try:
        kind.specs(shape, params)
    except FormatError as error:
        raise source.error(error.what, found=error.found, expected=error.expected) from None
    declarations.append((name, kind, shape, params))
    return name


def _reference(source: Reader, names: list[str]) -> str:
    back = source.number()
    if back >= len(names):
        raise source.error("value is read before it is made", found=back, expected=f"below {len(names)}")
    return names[len(names) - 1 - back]


def _read_shape(source: Reader) -> tuple[int, ...]:
    return tuple(source.number(1 << 31) for _ in range(source.number(MAX_RANK)))


def _read_attr(source: Reader, default: Any) -> Any:
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return source.signed()
    if isinstance(default, float):
        return source.real()
    if isinstance(default, str):
        return source.text()
    return tuple(source.signed() for _ in default)
