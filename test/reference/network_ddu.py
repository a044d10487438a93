"""Runs the DDU benchmark's own code (a checkout of github.com/omegafragger/DDU at commit f597744) in float64, checks that
network.py equals it, and writes what it gave to network/ddu-*.json, in the form of network_values.py.

    python network_ddu.py CHECKOUT
"""

import sys
from pathlib import Path

import torch

import network_fill
from network import ResNet
from network_recording import deviation, recorded_run, write

FOLDER = Path(__file__).parent / "network"

# name: (depth, mod, mnist, spectral norm, batch size); DDU's `mod` is both leaky ReLU and the average-pool shortcut.
SETTINGS = {
    "ddu-resnet18-mod": (18, True, False, True, 3),
    "ddu-resnet18": (18, False, False, True, 3),
    "ddu-resnet18-mod-mnist": (18, True, True, True, 3),
    "ddu-resnet18-mnist": (18, False, True, True, 3),
    "ddu-resnet50-mod": (50, True, False, True, 3),
    "ddu-resnet50": (50, False, False, True, 3),
    "ddu-resnet50-mod-mnist": (50, True, True, True, 3),
    "ddu-resnet50-mnist": (50, False, True, True, 3),
    "ddu-resnet18-unnormalised": (18, False, False, False, 3),
    "ddu-resnet18-mod-unnormalised": (18, True, False, False, 3),
}


def main(checkout):
    sys.path.insert(0, str(Path(checkout).resolve()))
    from net import resnet as ddu

    # Not only .double(): DDU's divisor max(1, sigma / c) is made of a default-dtype tensor with a dimension and a sigma
    # without one, so by PyTorch's promotion rules it would be rounded to float32.
    torch.set_default_dtype(torch.float64)

    for name, (depth, mod, mnist, spectral_norm, batch) in SETTINGS.items():
        options = {
            "depth": depth,
            "inChannels": 1 if mnist else 3,
            "imageSize": 28 if mnist else 32,
            "leakyRelu": mod,
            "avgPoolShortcut": mod,
            "spectralNorm": {"coefficient": 3.0} if spectral_norm else None,
            "l2Normalize": False,
        }
        theirs = getattr(ddu, f"resnet{depth}")(spectral_normalization=spectral_norm, mod=mod, mnist=mnist)
        ours = ResNet(options)
        their_state, our_state = theirs.state_dict(), ours.state_dict()
        assert list(their_state) == list(our_state), name
        assert all(their_state[k].shape == our_state[k].shape for k in their_state), name
        shape = (batch, options["inChannels"], options["imageSize"], options["imageSize"])
        x = network_fill.images(shape)

        def run(x):
            logits = theirs(x)
            return theirs.feature, theirs.feature, logits

        expected = recorded_run(network_fill.fill(theirs), run, x)
        found = recorded_run(network_fill.fill(ours), ours, x)
        difference = max(deviation(expected[k], found[k]) for k in expected)
        print(f"{name}: {len(their_state)} entries, largest relative difference {difference:.1e}")
        assert difference < 1e-11, name
        gradients = gradient_difference(theirs, ours, x)
        print(f"{name}: of the gradients {gradients:.1e}")
        assert gradients < 1e-9, name
        write(FOLDER / f"{name}.json", {"options": options, "imageShape": list(shape), "featureDim": ours.feature_dim, **expected})


def gradient_difference(theirs, ours, x):
    """Of the cross entropy's gradients in training mode, relative per tensor, from equal weights and buffers."""
    ours.load_state_dict(theirs.state_dict())
    labels = network_fill.labels(len(x), 10)
    for net, logits in ((theirs, lambda: theirs(x)), (ours, lambda: ours(x).logits)):
        net.train().zero_grad()
        torch.nn.functional.cross_entropy(logits(), labels).backward()
    pairs = zip(theirs.parameters(), ours.parameters(), strict=True)
    return max(((p.grad - q.grad).norm() / p.grad.norm()).item() for p, q in pairs)


if __name__ == "__main__":
    main(*sys.argv[1:])
