"""Finds stop strings in a stream, without showing a part of one.

After each character the matcher knows the longest suffix that may still become a stop string, and that the caller must
hold back. It is an Aho-Corasick automaton (Aho and Corasick 1975): one table look-up for each character, for any number
of stop strings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Node:
    depth: int
    children: dict[str, int] = field(default_factory=dict)
    fallback: int = 0  # node of the longest proper suffix that is also a prefix of a stop string
    match: int = 0  # length of the longest stop string that ends here; 0 for none


class StopMatcher:
    """Detects complete stop strings, and the number of characters to hold back until then. Empty ones are ignored."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._nodes = [_Node(depth=0)]
        for stop in stops:
            if stop:
                self._insert(stop)
        self._link()
        self._node = 0

    def _insert(self, stop: str) -> None:
        node = 0
        for character in stop:
            following = self._nodes[node].children.get(character)
            if following is None:
                following = len(self._nodes)
                self._nodes.append(_Node(depth=self._nodes[node].depth + 1))
                self._nodes[node].children[character] = following
            node = following
        self._nodes[node].match = len(stop)

    def _link(self) -> None:
        # Breadth first: a node's fallback is nearer to the root, so it is linked before it is needed.
        queue = deque(self._nodes[0].children.values())
        while queue:
            index = queue.popleft()
            node = self._nodes[index]
            for character, child in node.children.items():
                self._nodes[child].fallback = self._next(node.fallback, character)
                queue.append(child)
            node.match = node.match or self._nodes[node.fallback].match

    def _next(self, node: int, character: str) -> int:
        while True:
            child = self._nodes[node].children.get(character)
            if child is not None:
                return child
            if node == 0:
                return 0
            node = self._nodes[node].fallback

    def push(self, character: str) -> int:
        """Read one character; return the length of the stop string that it completes, or 0."""
        self._node = self._next(self._node, character)
        return self._nodes[self._node].match

    @property
    def held(self) -> int:
        """Number of last characters that may begin a stop string."""
        return self._nodes[self._node].depth
