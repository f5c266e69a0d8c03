"""DER as a tree, changed at one place and written again: what surrounds the change stays right, so it is reached."""

from dataclasses import dataclass
from typing import Final

from der_writer import length_octets
from fuzz_draw import Draw

from estsim.est.der import DERError, children

_CONSTRUCTED: Final = 0x20
_OCTET_STRING: Final = 0x04
_BIT_STRING: Final = 0x03
_DEEPEST: Final = 12
_NESTED: Final = 40  # for a chain of elements, one in another, to run out of a reader's stack
_TAGS: Final = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1E, 0x30, 0x31, 0xA0, 0xA3)
_ODD_TAGS: Final = (0x00, 0x1F, 0x24, 0x5F, 0x60, 0x7F, 0x80, 0x82, 0x84, 0x86, 0x87, 0xBF, 0xFF)


@dataclass(slots=True)
class Node:
    """An element: its tag, and its content or the elements in it; ``before`` is the first octet of a BIT STRING."""

    tag: int
    content: bytes
    parts: list["Node"] | None = None
    before: bytes = b""

    def written(self) -> bytes:
        """Return the encoding."""
        if self.parts is not None:
            self.content = self.before + b"".join([part.written() for part in self.parts])
        return bytes((self.tag,)) + length_octets(len(self.content)) + self.content


def tree_of(der: bytes) -> Node | None:
    """Return the tree of one element that fills the bytes, None where there is none."""
    try:
        nodes = _nodes(der, 0, len(der), 0)
    except DERError:
        return None
    return nodes[0] if len(nodes) == 1 else None


def _nodes(der: bytes, start: int, end: int, depth: int) -> list[Node]:
    return [_node(der, tag, content, after, depth) for tag, _, content, after in children(der, start, end)]


def _node(der: bytes, tag: int, start: int, end: int, depth: int) -> Node:
    node = Node(tag, der[start:end])
    if depth == _DEEPEST or start == end:
        return node
    if tag & _CONSTRUCTED:
        node.parts = _nodes(der, start, end, depth + 1)
    elif tag == _OCTET_STRING or (tag == _BIT_STRING and der[start] == 0):
        node.before = der[start : start + (tag == _BIT_STRING)]
        try:  # of an extension or a key there is DER within
            node.parts = _nodes(der, start + len(node.before), end, depth + 1) or None
        except DERError:
            node.before = b""
    return node


def all_of(node: Node) -> list[Node]:
    """Return a node and all below it."""
    found = [node]
    for each in found:
        if each.parts is not None:
            found.extend(each.parts)
    return found


def changed(draw: Draw, der: bytes, most: int = 3) -> bytes:
    """Return DER with some of its elements changed; what is no DER stays as it is."""
    root = tree_of(der)
    if root is None:
        return der
    nodes = all_of(root)
    for _ in range(1 + int(draw.random() * most)):
        _change(draw, draw.one(nodes), nodes)
    return root.written()


def _change(draw: Draw, node: Node, nodes: list[Node]) -> None:
    """Do one thing to an element."""
    match int(draw.random() * 10):
        case 0:
            node.tag = draw.one(_TAGS)
        case 1:
            node.tag = draw.one(_ODD_TAGS)
        case 2:
            node.parts, node.content = None, b""
        case 3 | 4:
            _change_content(draw, node)
        case 5 | 6 | 7:
            _change_parts(draw, node)
        case 8:
            other = Node(draw.one(nodes).tag, draw.one(nodes).content)  # by value: an element never holds itself
            node.tag, node.parts, node.content = other.tag, None, other.content
        case _:
            node.content, node.parts = _wrapped(draw, node), None


def _change_content(draw: Draw, node: Node) -> None:
    if node.parts is not None:
        node.content = node.written()
        node.parts = None
    content = bytearray(node.content)
    if content and draw.chance(0.7):
        content[int(draw.random() * len(content))] = int(draw.random() * 256)
    elif draw.chance(0.5):
        del content[int(draw.random() * (len(content) + 1)) :]
    else:
        content += draw.octets(16)
    node.content = bytes(content)


def _change_parts(draw: Draw, node: Node) -> None:
    parts = node.parts
    if not parts:
        return
    at = int(draw.random() * len(parts))
    match int(draw.random() * 5):
        case 0:
            del parts[at]
        case 1:
            parts[at:at] = [Node(parts[at].tag, parts[at].written()[2:])] if draw.chance(0.2) else [_copy(parts[at])]
        case 2:
            parts[at], parts[0] = parts[0], parts[at]
        case 3:
            parts.extend([_copy(parts[at])] * draw.one((1, 2, 8, 64)))
        case _:
            parts.append(Node(draw.one(_TAGS), draw.octets(16)))


def _copy(node: Node) -> Node:
    encoded = node.written()
    return tree_of(encoded) or Node(node.tag, node.content)


def _wrapped(draw: Draw, node: Node) -> bytes:
    """Return what an element holds, within others of its tag."""
    wrapped = node.written()
    for _ in range(draw.one((1, 2, _NESTED))):
        wrapped = bytes((node.tag,)) + length_octets(len(wrapped)) + wrapped
    return wrapped
