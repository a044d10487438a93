"""What the expected-value files hold of a network's run, and how they are written.

A tensor is recorded as {"probe", "norm", "first", "last"}: probe = sum of r("probe", i) x_i over the flat index i (r of
network_fill.py), norm = Euclidean norm, and the entries at both ends. Any wrong entry moves the probe; compare it
within tolerance * norm. Logits, and where small also features, are recorded whole.
"""

import json

import torch

from network_fill import uniform


def checksum(tensor):
    flat = tensor.detach().double().reshape(-1)
    probe = torch.dot(torch.from_numpy(uniform("probe", flat.numel())), flat)
    return {"probe": probe.item(), "norm": torch.linalg.vector_norm(flat).item(), "first": flat[0].item(), "last": flat[-1].item()}


def recorded_output(output):
    """Of (raw features, features, logits)."""
    raw, features, logits = output
    return {
        "rawFeatures": checksum(raw),
        "features": checksum(features),
        "featureRows": [row[:4].tolist() for row in features],
        "logits": logits.tolist(),
    }


def recorded_state(state, endings):
    return {name: checksum(tensor) for name, tensor in state.items() if name.endswith(endings)}


ADVANCING = ("weight_u", "weight_v", "weight_sigma", "running_mean", "running_var", "num_batches_tracked")


def recorded_run(network, run, x):
    """Evaluation, two forward passes in training mode, evaluation again; then what they did to the buffers.

    `run(x)` gives (raw features, features, logits) of the network as it is.
    """
    with torch.no_grad():
        network.eval()
        before = recorded_output(run(x))
        network.train()
        training = [recorded_output(run(x)) for _ in range(2)]
        network.eval()
        after = recorded_output(run(x))
    return {"eval": before, "training": training, "evalAfter": after, "state": recorded_state(network.state_dict(), ADVANCING)}


def deviation(a, b):
    """The largest difference of two recordings, relative: of a tensor's to its norm, of rows to their largest entry."""
    if isinstance(a, dict) and "probe" in a:
        scale = max(a["norm"], 1e-300)
        return max(abs(a[k] - b[k]) / scale for k in a)
    if isinstance(a, dict):
        assert a.keys() == b.keys(), (a.keys(), b.keys())
        return max((deviation(a[k], b[k]) for k in a), default=0.0)
    if isinstance(a, list) and a and isinstance(a[0], dict):
        return max(deviation(p, q) for p, q in zip(a, b, strict=True))
    p, q = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    return ((p - q).abs().max() / p.abs().max()).item()


def write(path, value):
    """One line per top-level key: small, and a changed value shows in a diff."""
    lines = [f"{json.dumps(key)}: {json.dumps(item, allow_nan=False)}" for key, item in value.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
