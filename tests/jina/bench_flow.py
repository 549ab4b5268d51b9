"""Serves a flow of the real Jina for the benchmarks: text reversal, as many times as there are stages.

Arguments: protocol, port, stages. It ends, with every process that it started, when its standard input ends: whoever
started it may be killed at any moment, and must not leave a flow behind.
"""

import os
import signal
import sys
import threading

from jina import Executor, Flow, requests


class Reverse(Executor):
    """Turns every text around; the twin of the benchmarks' guest."""

    @requests(on="/reverse")
    def reverse(self, docs, **kwargs):
        for document in docs:
            document.text = document.text[::-1]


def end_with_input() -> None:
    # Not sys.stdin: a thread that reads from it holds a lock that the forked processes want as they begin.
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    protocol, port, stages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    threading.Thread(target=end_with_input, daemon=True).start()
    flow = Flow(protocol=protocol, port=port)
    for stage in range(stages):
        flow = flow.add(name=f"stage{stage}", uses=Reverse)
    with flow:
        flow.block()


if __name__ == "__main__":
    main()
