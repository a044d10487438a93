"""Small ONNX models of every form that OnnxModel tells apart, and what onnxruntime gives for them.

Writes test/reference/onnx/*.onnx and onnx_models.json. The images are uint8 [5, 3, 16, 16], pixel i = (i * 2654435761 mod 2^32) >> 24, normalised with
mean 0.5 and std 0.25. Made with torch 2.13.0, onnx 1.23.1, onnxruntime 1.30.0 and onnxscript 0.7.2:

    python test/reference/onnx_models.py

`--families FOLDER` exports networks of torchvision (random weights) at two opsets into the folder instead, runs them through the library by
onnx_families.mjs, and prints the largest relative differences of features and logits from PyTorch's hooks and from onnxruntime in Python.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

warnings.filterwarnings("ignore")
here = Path(__file__).parent
folder = here / "onnx"


def images():
    index = np.arange(5 * 3 * 16 * 16, dtype=np.uint64)
    pixels = ((index * 2654435761) % 2**32 >> 24).astype(np.float32).reshape(5, 3, 16, 16)
    return (pixels / np.float32(255) - np.float32(0.5)) / np.float32(0.25)


class Net(nn.Module):
    """Features of 8 numbers and logits of 3; `head` says what stands behind the features."""

    def __init__(self, head="linear"):
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.linear = nn.Linear(8, 3)
        self.second = nn.Linear(8, 2)
        self.head = head

    def forward(self, x):
        features = self.body(x)
        logits = self.linear(features)
        if self.head == "softmax":
            return logits.softmax(1)
        if self.head == "argmax":
            return logits.argmax(1)
        if self.head == "two":
            return logits, self.second(features)
        if self.head == "features":
            return features
        if self.head == "both":
            return {"features": features, "logits": logits}
        if self.head == "matmul":
            return features @ self.linear.weight.T + self.linear.bias
        if self.head == "no bias":
            return features @ self.linear.weight.T
        if self.head == "nan":
            return self.linear(torch.log(features - 1000))
        if self.head == "row maxima":
            return features @ self.linear.weight.T * features.amax(1, keepdim=True)
        if self.head == "per place":
            places = self.body[:4](x)
            return self.linear((places * self.body[4:](places)[:, :, None, None]).flatten(2).transpose(1, 2))
        return logits


def export(name, head="linear", opset=17, free=("n",), names=("logits",), **options):
    axes = {"images": {"n": {0: "n"}, "nhw": {0: "n", 2: "h", 3: "w"}, "": {}}["".join(free)]}
    path = folder / f"{name}.onnx"
    for output in names:
        axes[output] = {0: "n"} if free else {}
    options = {"dynamo": False, "dynamic_axes": axes, **options}
    batch = torch.zeros(4 if not free else 2, 3, 16, 16)
    torch.onnx.export(Net(head).eval(), (batch,), path, opset_version=opset, input_names=["images"], output_names=list(names), **options)
    return path


def remade(name, change, source="gemm-17"):
    """A model of `source` with its graph changed."""
    model = onnx.load(folder / f"{source}.onnx")
    change(model)
    onnx.save(model, folder / f"{name}.onnx")


def initializer(model, name):
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def last(model):
    return next(node for node in reversed(model.graph.node) if node.op_type == "Gemm")


def half_head(kind):
    def change(model):
        weight = numpy_helper.to_array(initializer(model, last(model).input[1]))
        stored = initializer(model, last(model).input[1])
        if kind == TensorProto.FLOAT16:
            stored.CopyFrom(numpy_helper.from_array(weight.astype(np.float16), "half"))
        else:
            stored.CopyFrom(helper.make_tensor("half", kind, weight.shape, (weight.view(np.uint32) >> 16).astype(np.uint16).tobytes(), raw=True))
        node = last(model)
        node.input[1] = "whole"
        model.graph.node.insert(0, helper.make_node("Cast", ["half"], ["whole"], to=TensorProto.FLOAT))

    return change


def scaled(model):
    """No transB, alpha, beta, and numbers as a list instead of raw bytes."""
    node = last(model)
    weight = initializer(model, node.input[1])
    values = numpy_helper.to_array(weight).T
    weight.CopyFrom(helper.make_tensor(weight.name, TensorProto.FLOAT, values.shape, values.flatten().tolist()))
    del node.attribute[:]
    node.attribute.extend([helper.make_attribute("alpha", 0.5), helper.make_attribute("beta", 2.0)])


def transposed(model):
    node = last(model)
    del node.attribute[:]
    model.graph.node.insert(0, helper.make_node("Transpose", [node.input[1]], ["turned"], perm=[1, 0]))
    node.input[1] = "turned"


def quantized(model):
    node = last(model)
    weight = initializer(model, node.input[1])
    values = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(np.round(values * 100).astype(np.int8), weight.name))
    model.graph.initializer.extend([numpy_helper.from_array(np.float32(0.01), "scale"), numpy_helper.from_array(np.int8(0), "zero")])
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", [weight.name, "scale", "zero"], ["weights"]))
    node.input[1] = "weights"


def unknown_operator(model):
    model.graph.node[0].op_type = "Convolve"


def future(model):
    model.opset_import[0].version = 999


def outside(model):
    onnx.save(model, folder / "external.onnx", save_as_external_data=True, location="external.onnx.data", size_threshold=64)
    model.CopyFrom(onnx.load(folder / "external.onnx", load_external_data=False))


def bytes_input(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.node.insert(0, helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT))
    model.graph.node[1].input[0] = "floats"


def two_inputs(model):
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
    node = model.graph.node[0]
    model.graph.node.insert(0, helper.make_node("Mul", ["images", "scale"], ["scaled"]))
    node.input[0] = "scaled"


def only_one(model):
    """A batch dimension that is free in name alone."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 16, 16]), "shape"))
    model.graph.node.insert(0, helper.make_node("Reshape", ["images", "shape"], ["shaped"]))
    model.graph.node[1].input[0] = "shaped"


def main():
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    export("gemm-13", opset=13)
    export("gemm-17")
    export("any-size", free=("n", "h", "w"))
    export("fixed-batch", free=())
    export("softmax", "softmax")
    export("argmax", "argmax")
    export("two-heads", "two", names=("logits", "other"))
    export("embeddings", "features", names=("embedding",))
    export("both", "both", names=("features", "logits"))
    export("matmul", "matmul")
    export("no-bias", "no bias")
    export("no-linear", "row maxima")
    export("per-place", "per place")
    export("nan", "nan")
    export("dynamo", opset=18, dynamo=True, dynamic_axes=None, dynamic_shapes=({0: torch.export.Dim("n")},), external_data=False, verbose=False)
    remade("float16-head", half_head(TensorProto.FLOAT16))
    remade("bfloat16-head", half_head(TensorProto.BFLOAT16))
    for change in [scaled, transposed, quantized, unknown_operator, future, outside, bytes_input, two_inputs, only_one]:
        remade({"outside": "external"}.get(change.__name__, change.__name__.replace("_", "-")), change)
    expected = {}
    for path in sorted(folder.glob("*.onnx")):
        if path.stem in ("unknown-operator", "future", "bytes-input", "two-inputs", "per-place", "nan"):
            continue
        expected[path.stem] = values(path)
    (here / "onnx_models.json").write_text(json.dumps(expected) + "\n")


def values(path):
    """Features are the inputs of the pooling's flattened output, logits those of the layer behind, as a session with them for outputs gives them."""
    model = onnx.load(path)
    flat = next(node.output[0] for node in model.graph.node if node.op_type in ("Flatten", "Reshape") and node.output[0] not in ("shaped",))
    products = [node for node in model.graph.node if node.op_type in ("Gemm", "MatMul")]
    logits = None
    if products:
        logits = products[0].output[0]
        logits = next((node.output[0] for node in model.graph.node if node.op_type == "Add" and logits in node.input), logits)
    names = [flat] + ([logits] if logits else [])
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    size = {"fixed-batch": 4, "only-one": 1}.get(path.stem, 5)
    given = np.concatenate([images(), np.zeros((3, 3, 16, 16), np.float32)])
    parts = [session.run(names, {"images": given[start : start + size]}) for start in range(0, 5, size)]
    found = [np.concatenate(arrays)[:5] for arrays in zip(*parts)]
    return {"features": {"name": flat, "values": found[0].tolist()}, "logits": logits and {"name": logits, "values": found[1].tolist()}}


families = {
    "resnet18": 224, "resnet50": 224, "regnet_y_400mf": 224, "efficientnet_b0": 224, "mobilenet_v3_small": 224, "convnext_tiny": 224,
    "densenet121": 224, "vit_b_16": 224, "swin_t": 224,
}  # fmt: skip


def compare_families(to, opsets=(13, 17)):
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision import models

    to.mkdir(parents=True, exist_ok=True)
    for family, size in families.items():
        torch.manual_seed(3)
        network = models.get_model(family, weights=None).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim == 1 and "scale" not in family:
                    parameter.add_(torch.randn_like(parameter) * 0.05)
        linear = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
        seen = []
        linear.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().numpy()))
        pixels = np.random.default_rng(5).random((3, 3, size, size), dtype=np.float32)
        with torch.inference_mode():
            logits = network(torch.from_numpy(pixels)).numpy()
        np.save(to / "pixels.npy", pixels)
        for opset in opsets:
            path = to / f"{family}-{opset}.onnx"
            axes = {"images": {0: "n"}, "logits": {0: "n"}}
            try:
                torch.onnx.export(
                    network, (torch.zeros(2, 3, size, size),), path, opset_version=opset, dynamo=False, input_names=["images"],
                    output_names=["logits"], dynamic_axes=axes,
                )  # fmt: skip
            except Exception as error:  # an operator that this opset lacks
                print(f"{family:20} opset {opset}: not exported: {str(error).splitlines()[0][:100]}", flush=True)
                continue
            subprocess.run(["node", here / "onnx_families.mjs", path, to, str(size)], check=True)
            features, ours = np.load(to / "features.npy"), np.load(to / "logits.npy")
            python = onnxruntime.InferenceSession(path).run(None, {"images": pixels})[0]
            relative = lambda a, b: float(np.abs(a - b).max() / np.abs(b).max())  # noqa: E731
            print(
                f"{family:20} opset {opset}: {features.shape[1]:4} features; from PyTorch: features {relative(features, seen[0]):.1e}, logits "
                f"{relative(ours, logits):.1e}; from onnxruntime in Python: logits {relative(ours, python):.1e}",
                flush=True,
            )
            path.unlink()


if __name__ == "__main__":
    if "--families" in sys.argv:
        compare_families(Path(sys.argv[sys.argv.index("--families") + 1]))
    else:
        main()
