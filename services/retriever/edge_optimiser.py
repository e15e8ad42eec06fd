"""The process that builds a graph: over a copy, since building stops its process for all else.

It says `copied` when it needs nothing of the source any more, then builds, catches up with what was
written meanwhile, and says `built`. Whoever started it then does the rest, of which little is left.

python -m services.retriever.edge_optimiser SOCKET_FD PARENT_PID SOURCE TARGET JOURNAL
"""

import os
import socket
import sys
from pathlib import Path
from typing import BinaryIO, Final

import qdrant_edge as edge

from services.retriever import edge_shard
from services.retriever.edge_copy import copy_tree, sync_tree
from services.retriever.edge_processes import end_with
from services.retriever.edge_wire import Message, encode

_NICE: Final = 10
# What a swap may still have to do while writers wait; writers that are faster than this process
# would keep it for ever.
_SMALL_BYTES: Final = 2**20
_MAX_ROUNDS: Final = 5


def catch_up(shard: edge.EdgeShard, journal: BinaryIO) -> int:
    """Does what stands in `journal`, and what is written to it meanwhile; returns up to where."""
    offset = 0
    for _ in range(_MAX_ROUNDS):
        before = offset
        offset = edge_shard.replay(shard, journal, offset)
        if offset - before < _SMALL_BYTES:
            break
    return offset


def main() -> None:
    descriptor, parent, source, target, journal = sys.argv[1:]
    end_with(int(parent))
    os.nice(_NICE)
    channel = socket.socket(fileno=int(descriptor))
    copy_tree(Path(source), Path(target))
    channel.sendall(encode(Message({"copied": True})))
    shard = edge.EdgeShard.load(target)
    shard.optimize()
    graphed = edge_shard.state(shard)
    with open(journal, "rb") as writes:
        offset = catch_up(shard, writes)
    shard.flush()
    shard.close()
    sync_tree(Path(target))
    channel.sendall(encode(Message({"graphed": graphed, "offset": offset})))


if __name__ == "__main__":
    main()
