"""Runs real Jina Flows. Reads one JSON object per line and answers each with one line.

    {"start": name, "flow": the Flow as YAML, "generation": 1 or 2}  ->  {"name", "ports": {"grpc", "http", "websocket"}}
    {"stop": name}                                                   ->  {"name", "stopped": true}

Each Flow is a child with a process group of its own, so that stopping one never waits for it; all are gone when
standard input ends. The child is forked after Jina was imported, which makes starting a Flow cheap. A Flow that does
not come up answers with "failed" and why.
"""

import json
import os
import select
import signal
import socket
import sys

import yaml

PROTOCOLS = ("grpc", "http", "websocket")
# Longest time for a Flow to come up, in seconds.
PATIENCE = 60
# How often it is tried: somebody else may take a port that was free.
TRIES = 3


def free_ports(count: int) -> list:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run(flow: dict, ports: list, ready: int) -> None:
    """The life of the child that is a Flow."""
    from jina import Flow

    os.setsid()
    try:
        flow = dict(flow)
        flow["with"] = {**flow.get("with", {}), "protocol": list(PROTOCOLS), "port": ports}
        started = Flow.load_config(flow)
        started.start()
    except BaseException as failure:
        os.write(ready, json.dumps({"failed": repr(failure)}).encode())
        os._exit(1)
    os.write(ready, b"{}")
    signal.pause()


def start(name: str, text: str, processes: dict) -> dict:
    ports = free_ports(len(PROTOCOLS))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.dup2(2, 1)  # standard output is for answers
        run(yaml.safe_load(text), ports, writer)
        os._exit(0)
    os.close(writer)
    processes[name] = child
    readable, _, _ = select.select([reader], [], [], PATIENCE)
    told = os.read(reader, 65536) if readable else b'{"failed": "it did not come up in time"}'
    os.close(reader)
    told = json.loads(told or b'{"failed": "its process ended"}')
    if "failed" in told:
        stop(name, processes)
    return {"name": name, "ports": dict(zip(PROTOCOLS, ports)), **told}


def stop(name: str, processes: dict) -> dict:
    child = processes.pop(name, None)
    if child is not None:
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"name": name, "stopped": True}


def main() -> None:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from jina import Flow  # noqa: F401, imported once for all children

    if sys.argv[1] == "1":
        import executors_v1  # noqa: F401, registers the classes that flows name
    else:
        import executors_v2  # noqa: F401
    processes = {}
    try:
        for line in sys.stdin:
            order = json.loads(line)
            if "start" in order:
                for _ in range(TRIES):
                    answer = start(order["start"], order["flow"], processes)
                    if "failed" not in answer:
                        break
            else:
                answer = stop(order["stop"], processes)
            print(json.dumps(answer), flush=True)
    finally:
        for name in list(processes):
            stop(name, processes)


if __name__ == "__main__":
    main()
