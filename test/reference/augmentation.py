"""What torchvision makes of images in training, for given draws: a part of the picture resized, mirrored, its colours changed.

    python test/reference/augmentation.py        (torch, torchvision, pillow, numpy; writes augmentation.json beside this file)

The images follow from the formula of preprocessing.py. The part is cut and resized by Pillow, as RandomResizedCrop does it with a PIL image; the colours
are changed by torchvision's functions for uint8 tensors.
"""

import base64
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from preprocessing import picture
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

SIZE = 24
KERNELS = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
CHANGE = {"brightness": F.adjust_brightness, "contrast": F.adjust_contrast, "saturation": F.adjust_saturation, "hue": F.adjust_hue}
# width, height, [left, top, width, height], mirrored, kernel, colours
CASES = [
    (150, 113, [0, 0, 150, 113], False, "bilinear", []),
    (150, 113, [31, 17, 90, 70], True, "bilinear", []),
    (150, 113, [120, 80, 30, 33], False, "bicubic", []),
    (33, 77, [5, 50, 9, 11], True, "bilinear", []),
    (211, 97, [7, 1, 24, 24], False, "bilinear", []),
    (150, 113, [10, 10, 100, 90], False, "bilinear", [["brightness", 0.6]]),
    (150, 113, [10, 10, 100, 90], False, "bilinear", [["brightness", 1.7]]),
    (150, 113, [10, 10, 100, 90], False, "bilinear", [["contrast", 0.4]]),
    (150, 113, [10, 10, 100, 90], False, "bilinear", [["contrast", 1.9]]),
    (150, 113, [10, 10, 100, 90], False, "bilinear", [["saturation", 0.0]]),
    (150, 113, [10, 10, 100, 90], False, "bilinear", [["saturation", 1.8]]),
    (150, 113, [10, 10, 100, 90], False, "bilinear", [["hue", 0.37]]),
    (150, 113, [10, 10, 100, 90], False, "bilinear", [["hue", -0.5]]),
    (150, 113, [40, 3, 80, 77], True, "bilinear", [["hue", 0.1], ["contrast", 1.3], ["brightness", 0.8], ["saturation", 1.4]]),
]


def main():
    cases = []
    for width, height, window, flip, kernel, colours in CASES:
        left, top, w, h = window
        image = F.resized_crop(Image.fromarray(picture(width, height, 3)), top, left, h, w, [SIZE, SIZE], KERNELS[kernel])
        tensor = torch.from_numpy(np.array(F.hflip(image) if flip else image)).permute(2, 0, 1).contiguous()
        for name, factor in colours:
            tensor = CHANGE[name](tensor, factor)
        facts = {"width": width, "height": height, "window": window, "flip": flip, "kernel": kernel, "colours": colours}
        cases.append({**facts, "pixels": base64.b64encode(tensor.numpy().tobytes()).decode()})
    target = Path(__file__).with_suffix(".json")
    target.write_text(json.dumps({"size": SIZE, "cases": cases}, indent=1) + "\n")


main()
