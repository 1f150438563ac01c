"""Sorts samples of many dates into chains: one piece of ground, seen under one geometry, in order of time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME_GEOMETRY = np.radians(6.0)
"""Span of incidence angles within which effective roughness is shared: +-3 degrees about their middle."""
SAME_TIME_DAYS = 0.5
"""Acquisitions of different geometries closer than this see the same soil moisture."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Chains:
    """Samples as nodes (one for each state) and nodes as chains."""

    node: IntArray
    """(N,), each sample's node."""
    chain: IntArray
    """(nodes,), each node's chain; nodes are in order of chain, then time."""
    days: NDArray[np.float64]
    """(nodes,)."""
    moment: IntArray
    """(nodes,), equal for nodes of one place that see the same soil moisture; -1 where there is no other such node."""

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self.days.size)

    def by_length(self) -> list[IntArray]:
        """For each length D, the nodes of all chains of that length, (chains, D)."""
        lengths = np.bincount(self.chain) if self.nodes else np.zeros(0, np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        return [starts[lengths == length][:, None] + np.arange(length) for length in np.unique(lengths)]


def build_chains(place: IntArray, days: NDArray[np.float64], incidence_angle: NDArray[np.float32]) -> Chains:
    """Group samples; each group depends only on the samples of its own place.

    Parameters are (N,): ids of ground (negative: shares with none), time in days, angle in rad.
    """
    lonely = place < 0
    own = np.where(lonely, -1 - np.arange(place.size, dtype=np.int64), place)
    _, ground = np.unique(own, return_inverse=True)
    geometry = _geometries(ground, incidence_angle.astype(np.float64))
    order = np.lexsort((days, geometry, ground))
    keys = np.stack([ground[order], geometry[order]])
    new_chain = np.concatenate([[True], (np.diff(keys, axis=1) != 0).any(axis=0)])
    new_node = new_chain | np.concatenate([[True], np.diff(days[order]) != 0])
    node = np.empty(place.size, np.int64)
    node[order] = np.cumsum(new_node) - 1
    first = order[new_node]
    chain = (np.cumsum(new_chain) - 1)[new_node]
    return Chains(node, chain, days[first], _moments(ground[first], days[first]))


def _geometries(ground: IntArray, angle: NDArray[np.float64]) -> IntArray:
    """Number of the geometry of each sample within its ground: greedy from the smallest angle."""
    geometry = np.full(angle.size, -1, np.int64)
    count, number = int(ground.max()) + 1, 0
    while (pending := geometry < 0).any():
        smallest = np.full(count, np.inf)
        np.minimum.at(smallest, ground[pending], angle[pending])
        geometry[pending & (angle <= smallest[ground] + SAME_GEOMETRY)] = number
        number += 1
    return geometry


def _moments(ground: IntArray, days: NDArray[np.float64]) -> IntArray:
    order = np.lexsort((days, ground))
    new = np.concatenate([[True], (np.diff(ground[order]) != 0) | (np.diff(days[order]) > SAME_TIME_DAYS)])
    moment = np.empty(ground.size, np.int64)
    moment[order] = np.cumsum(new) - 1
    alone = np.bincount(moment)[moment] == 1
    return np.where(alone, -1, moment)
