"""The Python side of `npm run bench`: one persistent process that answers one JSON line per JSON line.

Request:  {"operation": name, "repeats": 1, "warmUp": 0, "id": anything, ...parameters of the operation}
Reply:    {"id", "operation", "seconds": [one number per repeat], "value": what the operation computed, if it is a number}
          or {"id", "operation", "error": text}

What an operation needs (network, data) is prepared at its first request, untimed, and kept for later requests with the same
parameters. `warmUp` untimed runs come before the timed ones. Two more operations: "about" gives versions and threads (and
sets the number of threads if "threads" is given), "forget" drops everything prepared. Nothing but replies is written to stdout.
"""

import json
import os
import platform
import sys
import time
import traceback

import numpy
import scipy
import sklearn
import torch

import large_networks
import network_peers
import statistics_peers

OPERATIONS = {**large_networks.OPERATIONS, **network_peers.OPERATIONS, **statistics_peers.OPERATIONS}
prepared = {}


def about(threads=None):
    if threads is not None:
        torch.set_num_threads(threads)
    versions = {"torch": torch.__version__, "numpy": numpy.__version__, "scipy": scipy.__version__}
    return {
        "python": platform.python_version(),
        **versions,
        "sklearn": sklearn.__version__,
        "threads": torch.get_num_threads(),
        "cpuCapability": torch.backends.cpu.get_cpu_capability(),
        "operations": sorted(OPERATIONS),
    }


def answer(operation, repeats=1, warmUp=0, **parameters):
    if operation == "about":
        return about(**parameters)
    if operation == "forget":
        prepared.clear()
        return {}
    if operation not in OPERATIONS:
        raise ValueError(f"unknown operation {operation!r}; known: {', '.join(sorted(OPERATIONS))}")
    key = json.dumps([operation, parameters], sort_keys=True)
    if key not in prepared:
        prepared[key] = OPERATIONS[operation](**parameters)
    run = prepared[key]
    for _ in range(warmUp):
        run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        value = run()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, **({"value": float(value)} if value is not None else {})}


def main():
    # Whatever a library prints goes to stderr: stdout is the protocol's.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        if not line.strip():
            continue
        reply = {}
        try:
            request = json.loads(line)
            reply = {"id": request.pop("id", None), "operation": request["operation"]}
            reply.update(answer(**request))
        except Exception as error:
            traceback.print_exc()
            reply["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
