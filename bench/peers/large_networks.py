"""Peers of networks for pictures of 224 pixels: torchvision's ResNets folded in PyTorch, the same network as a TorchScript
file in PyTorch, and as an ONNX file in onnxruntime. The two sides read the same files, which "write_model" writes.

Parameters: kind ("resnet", "torchscript" or "onnx"), depth, path; extract_224 also images (64) and batchSize (32).
Pictures are the uint8 ones of inputs.py at 224 pixels; normalising them is timed, as it is on the other side.
"""

import torch
from torch.fx.experimental.optimization import fuse

import inputs

SIZE = 224
MEAN, STD = (torch.tensor(c).view(1, 3, 1, 1) for c in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def torchvision_models():
    # torchvision's wheel defines its own operators for the PyTorch that it was built for; networks need none of them.
    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchvision_models.library = library  # as long as the process lives
        import torchvision
    return torchvision.models


def network(depth):
    torch.manual_seed(depth)
    return getattr(torchvision_models(), f"resnet{depth}")(weights=None).eval()


def write_model(kind, depth, path):
    def run():
        net = network(depth)
        example = torch.zeros(2, 3, SIZE, SIZE)
        if kind == "resnet":
            from safetensors.torch import save_file

            save_file(net.state_dict(), path)
        elif kind == "torchscript":
            torch.jit.trace(net, example).save(path)
        else:
            names = {"input_names": ["images"], "output_names": ["logits"]}
            axes = {"images": {0: "n"}, "logits": {0: "n"}}
            torch.onnx.export(net, (example,), path, opset_version=17, dynamo=False, dynamic_axes=axes, **names)

    return run


def folded(net):
    """Batch norm in the convolutions, channels last."""
    return fuse(net).to(memory_format=torch.channels_last)


def normalised(x):
    return (torch.from_numpy(x).float() / 255).sub_(MEAN).div_(STD)


def extract_224(kind, depth, path, images=64, batchSize=32):
    x, _ = inputs.images(1, images, size=SIZE)
    if kind == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        compute = lambda batch: torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])
    elif kind == "torchscript":
        compute = torch.jit.freeze(torch.jit.load(path).eval())
    else:
        net = folded(network(depth))
        compute = lambda batch: net(batch.contiguous(memory_format=torch.channels_last))

    def run():
        with torch.inference_mode():
            parts = [compute(normalised(x[start : start + batchSize])) for start in range(0, images, batchSize)]
            return torch.cat(parts).double().sum()

    return run


OPERATIONS = {"write_model": write_model, "extract_224": extract_224}
