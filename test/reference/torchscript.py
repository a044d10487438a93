"""TorchScript files of tiny networks, and what PyTorch's hooks say of them.

    PYTHONPATH=... python3 test/reference/torchscript.py              writes torchscript/*.pt and torchscript.json
    PYTHONPATH=... python3 test/reference/torchscript.py --families   checks networks of torchvision and timm, traced and
                                                                      scripted, against the library (dist/ must be built)

Images are integers by formula, which the tests repeat: pixel i of the flat uint8 array [2, 3, 16, 16] is 37 i mod 256.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import torch
from torch import nn
from torch.nn import functional as F

here = pathlib.Path(__file__).parent
folder = here / "torchscript"
mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def pixels(count, size):
    flat = torch.arange(count * 3 * size * size, dtype=torch.int64) * 37 % 256
    return flat.to(torch.uint8).reshape(count, 3, size, size)


def normalised(images):
    shape = (1, 3, 1, 1)
    return (images.float() / 255 - torch.tensor(mean).reshape(shape)) / torch.tensor(std).reshape(shape)


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        return torch.flatten(self.pool(self.layer(F.relu(self.bn1(self.conv1(x))))), 1)


class Classifier(nn.Module):
    """Trunk, dropout, linear layer."""

    def __init__(self):
        super().__init__()
        self.trunk = Trunk()
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.dropout(self.trunk(x)))


class Probabilities(Classifier):
    """A view that channels-last activations do not have, two layers, a softmax of scaled logits."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(8 * 4 * 4, 8)
        self.fc = nn.Linear(8, 5, bias=False)

    def forward(self, x):
        maps = self.trunk.layer(F.relu(self.trunk.bn1(self.trunk.conv1(x))))
        rows = F.relu(self.hidden(F.avg_pool2d(maps, 2).view(x.size(0), -1)))
        return F.softmax(self.fc(rows) / 0.5, dim=1)


class Means(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class Small(nn.Module):
    """For the odd ones."""

    def __init__(self):
        super().__init__()
        self.trunk = Means()
        self.fc = nn.Linear(3, 5)


class Product(Small):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5))
        self.bias = nn.Parameter(torch.randn(5))

    def forward(self, x):
        return self.trunk(x) @ self.weight + self.bias


class Cast(Small):
    """As timm's layers cast their weights where they are scripted."""

    def forward(self, x):
        rows = self.trunk(x)
        return F.linear(rows, self.fc.weight.to(dtype=rows.dtype), bias=self.fc.bias.to(dtype=rows.dtype))


class Pair(Small):
    def forward(self, x):
        features = self.trunk(x)
        return self.fc(features), features


class Named(Small):
    def forward(self, x):
        features = self.trunk(x)
        return {"logits": self.fc(features), "embedding": features}


class TwoHeads(Small):
    def __init__(self):
        super().__init__()
        self.other = nn.Linear(3, 5)

    def forward(self, x):
        features = self.trunk(x)
        return self.fc(features) + self.other(features)


class Maps(Small):
    def forward(self, x):
        return F.relu(x)


class Projection(Small):
    def forward(self, x):
        return F.normalize(self.fc(self.trunk(x)))


class Labels(Small):
    def forward(self, x):
        return self.fc(self.trunk(x)).argmax(1, keepdim=True)


class NotFinite(Small):
    def forward(self, x):
        return self.fc(torch.log(-self.trunk(x).abs() - 1))


class Fixed(Small):
    def forward(self, x):
        return self.fc(self.trunk(x).reshape(4, 3))


class Masked(Small):
    def forward(self, x, mask):
        return self.fc(self.trunk(x) * mask)


class Writing(Small):
    def forward(self, x):
        logits = self.fc(self.trunk(x))
        torch.save(logits, "written.pt")
        return logits


class Suppressing(Small):
    def forward(self, x):
        kept = torch.ops.somewhere.suppress(self.fc(self.trunk(x)))
        return kept


def made(kind):
    torch.manual_seed(1)
    model = kind()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
    return model.eval()


def hooked(model, x, head=None, submodule=None):
    """Features, as the input of `head` or the output of `submodule`, and logits."""
    found = {}
    hooks = []
    if head is not None:
        hooks.append(head.register_forward_hook(lambda _, given, out: found.update(features=given[0], logits=out)))
    if submodule is not None:
        hooks.append(submodule.register_forward_hook(lambda _, given, out: found.update(features=out.clone())))
    with torch.no_grad():
        output = model(x)
    for hook in hooks:  # torch.jit.script cannot compile them
        hook.remove()
    return found, output


def lists(tensor):
    return None if tensor is None else [[float(f"{value:.8g}") for value in row] for row in tensor.flatten(1).tolist()]


def packed(path):
    """The file without its sources for debugging, compressed: it is committed."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".debug_pkl")}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)


def write_fixtures():
    folder.mkdir(exist_ok=True)
    x = normalised(pixels(2, 16))
    cases = {}

    def trace(kind, name, example=x, **more):
        torch.jit.trace(made(kind), example, check_trace=False, **more).save(str(folder / f"{name}.pt"))

    def script(kind, name):
        torch.jit.script(made(kind)).save(str(folder / f"{name}.pt"))

    def expect(name, file, features, logits, head=None, option=None):
        weight = None if head is None else head.weight
        bias = None if head is None or head.bias is None else head.bias.double().tolist()
        cases[name] = {"file": f"{file}.pt", "option": option, "features": lists(features), "logits": lists(logits), "weight": lists(weight), "bias": bias}

    for way in (trace, script):
        suffix = "traced" if way is trace else "scripted"
        for kind, name in ((Classifier, "classifier"), (Probabilities, "probabilities")):
            way(kind, f"{name}-{suffix}")
            model = made(kind)
            found, _ = hooked(model, x, head=model.fc)
            expect(f"{name}-{suffix}", f"{name}-{suffix}", found["features"], found["logits"], model.fc)
        for option in ("trunk", "trunk.layer.0") if way is trace else ("trunk", "trunk.pool"):
            model = made(Classifier)
            found, logits = hooked(model, x, submodule=model.get_submodule(option))
            head = model.fc if option in ("trunk", "trunk.pool") else None
            expect(f"classifier-{suffix} {option}", f"classifier-{suffix}", found["features"], logits, head, option)
    model = made(Product)
    trace(Product, "product")
    with torch.no_grad():
        expect("product", "product", model.trunk(x), model(x))
        cases["product"]["weight"], cases["product"]["bias"] = lists(model.weight.t()), model.bias.double().tolist()
        model = made(Cast)
        script(Cast, "cast")
        expect("cast", "cast", model.trunk(x), model(x), model.fc)
        trace(Trunk, "embedding")
        expect("embedding", "embedding", made(Trunk)(x), None)
        expect("embedding output", "embedding", made(Trunk)(x), None, option="output")
        trace(Pair, "tuple")
        expect("tuple output.1", "tuple", made(Pair)(x)[1], None, option="output.1")
        trace(Named, "dictionary", strict=False)
        expect("dictionary output.embedding", "dictionary", made(Named)(x)["embedding"], None, option="output.embedding")
        script(TwoHeads, "two-heads")
        found, _ = hooked(made(TwoHeads), x)
        expect("two-heads trunk", "two-heads", made(TwoHeads).trunk(x), None, option="trunk")
        trace(Projection, "projection")
        expect("projection output", "projection", made(Projection)(x), None, option="output")
    half = made(Classifier).bfloat16()
    torch.jit.trace(half, x.bfloat16(), check_trace=False).save(str(folder / "half.pt"))
    half.float()
    found, _ = hooked(half, x, head=half.fc)
    expect("half", "half", found["features"], found["logits"], half.fc)
    for kind, name in ((Maps, "maps"), (Labels, "integer"), (NotFinite, "nan")):
        trace(kind, name)
    trace(Fixed, "fixed-batch", normalised(pixels(4, 16)))
    script(Masked, "two-inputs")
    script(Writing, "writing")
    library = torch.library.Library("somewhere", "DEF")
    library.define("suppress(Tensor boxes) -> Tensor")
    script(Suppressing, "unknown-operator")
    model = made(Classifier).train()
    torch.jit.trace(model, x, check_trace=False).save(str(folder / "training.pt"))
    torch.save(made(Classifier).state_dict(), folder / "state-dict.pt")
    for path in folder.glob("*.pt"):
        if path.stem not in ("classifier-traced", "state-dict"):  # these stay as PyTorch writes them
            packed(path)
    json.dump({"mean": mean, "std": std, "cases": cases}, open(here / "torchscript.json", "w"))


def families():
    library = torch.library.Library("torchvision", "FRAGMENT")  # where torchvision's own operators are not loaded
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm
    import torchvision

    tv = torchvision.models
    vision = {name: (lambda make=make: make()) for name, make in {
        "resnet18": tv.resnet18, "regnet_y_400mf": tv.regnet_y_400mf, "efficientnet_b0": tv.efficientnet_b0,
        "mobilenet_v3_small": tv.mobilenet_v3_small, "convnext_tiny": tv.convnext_tiny, "densenet121": tv.densenet121,
        "vit_b_16": tv.vit_b_16, "swin_t": tv.swin_t, "swin_v2_t": tv.swin_v2_t, "googlenet": lambda: tv.googlenet(init_weights=False),
        "shufflenet_v2_x0_5": tv.shufflenet_v2_x0_5,
    }.items()}
    image = {f"timm {name}": (lambda name=name: timm.create_model(name)) for name in (
        "resnet18", "regnety_004", "efficientnet_b0", "mobilenetv3_small_100", "convnext_atto", "vit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224", "deit_tiny_patch16_224",
    )}
    wanted = sys.argv[2:]
    x = normalised(pixels(2, 224))
    with tempfile.TemporaryDirectory() as place:
        for name, make in {**vision, **image}.items():
            if wanted and not any(part in name for part in wanted):
                continue
            torch.manual_seed(0)
            model = make().eval()
            for parameter in model.parameters():  # some heads begin at zero
                if parameter.dim() > 1 and not parameter.any():
                    nn.init.normal_(parameter, std=0.02)
            linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
            found, _ = hooked(model, x, head=linear)
            for way in ("traced", "scripted"):
                path = f"{place}/{way}.pt"
                try:
                    scripted = torch.jit.trace(model, x, check_trace=False) if way == "traced" else torch.jit.script(model)
                except Exception as error:
                    print(f"{name:40} {way:9} PyTorch cannot: {str(error).strip().splitlines()[0][:60]}", flush=True)
                    continue
                scripted.save(path)
                shapes = [list(found["features"].shape), list(found["logits"].shape)]
                given = {"path": path, "mean": mean, "std": std, "shapes": shapes}
                run = subprocess.run(["node", str(here / "torchscript_families.mjs"), json.dumps(given)], capture_output=True, text=True)
                if run.returncode != 0:
                    print(f"{name:40} {way:9} FAILED {run.stderr.strip()[-300:]}", flush=True)
                    continue
                ours = json.loads(run.stdout)
                differences = []
                for key in ("features", "logits"):
                    theirs = found[key].flatten(1)
                    got = torch.tensor(ours[key]).reshape(theirs.shape)
                    differences.append(float((got - theirs).abs().max() / theirs.abs().max()))
                head = float((torch.tensor(ours["weight"]).reshape(linear.weight.shape) - linear.weight).abs().max())
                print(f"{name:40} {way:9} features {differences[0]:.1e} logits {differences[1]:.1e} head {head:.0e}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(2)
    families() if sys.argv[1:2] == ["--families"] else write_fixtures()
