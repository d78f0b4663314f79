"""Power of a whole server from that of its boards, and how it changes when a job spreads over more servers.

Scope: the server at its plug (AC), supplies and fans included, switches and the room's cooling not.
"""

from __future__ import annotations

import numpy as np

from simtool.stepgraph import Number

FANS_W = {"immersion": 0.0, "liquid": 200.0, "air": 400.0}
"""Fans of a server of eight boards by how it is cooled [W]. Air: the lowest reading of 8x H100 servers in
MLPerf Training is 2.5 kW with fans and 2.06 kW immersed, without; more under load, by an unknown amount.
Liquid cools the boards and leaves the rest to fans: half assumed. Spread 0.5."""


def server_power_w(board_w: Number, host_w: Number, *, num_boards: int, cooling: str) -> Number:
    """Power of a server whose boards draw `board_w` each [W].

    Args:
        board_w: mean power of one board [W].
        host_w: everything else but fans: processors, memory, network cards, losses of the supplies [W].
        num_boards: boards in the server; fans go with them.
        cooling: a key of `FANS_W`.

    >>> float(server_power_w(672.0, 1650.0, num_boards=8, cooling="air"))   # 5376 + 1650 + 400
    7426.0
    """
    return np.asarray(num_boards * np.asarray(board_w) + host_w + FANS_W[cooling] * num_boards / 8.0)


def work_frac(time_ratio: Number, work_ratio: Number, num_nodes: Number) -> Number:
    """Rate of work of a server in a job on many of them, over its rate alone.

    Args:
        time_ratio: duration alone over duration on all.
        work_ratio: samples that the run on all processes over those of the run alone: larger batches need
            more to reach the same quality.
        num_nodes: servers of the larger job.

    >>> float(work_frac(5.3, 1.0, 8))     # eight servers, 5.3 times as fast
    0.6625
    """
    return np.minimum(time_ratio * work_ratio / np.asarray(num_nodes), 1.0)


def spread_power_w(full_w: Number, waiting_w: Number, done_frac: Number) -> Number:
    """Mean power of a server that does `done_frac` of the work it does alone in the same time [W].

    ``waiting + done (full - waiting)``: what a job loses when it spreads (exposed communication,
    stragglers, start-up, evaluation) is waited through with the boards spinning. Boards that compute more
    slowly, because their share of the batch is small, draw more than that: a lower bound for them.

    Args:
        full_w: of the server with the same job to itself [W].
        waiting_w: with all boards waiting and the host under load [W].
        done_frac: of `work_frac`.

    >>> float(spread_power_w(7160.0, 2860.0, 0.66))      # 2860 + 0.66 x 4300
    5698.0
    """
    return np.asarray(waiting_w + np.asarray(done_frac) * (np.asarray(full_w) - waiting_w))
