"""Images written and read by Pillow, an independent decoder: the files as base64 and the pixels that a network should see.

    python test/reference/images.py        (pillow, numpy; writes images.json beside this file)

Expected pixels are H x W x 3 bytes (grey images: also H x W x 1) after `ImageOps.exif_transpose`, alpha flattened onto black. Resizes are
Pillow's BILINEAR, whose triangle kernel is as wide as the reduction: antialiased.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
random = np.random.default_rng(20240603)


def picture(width, height, channels, noise=40):
    """Slopes, an edge and noise, so that flips, crops, swapped channels and aliasing all show."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        255 * x / max(1, width - 1),
        255 * y / max(1, height - 1),
        np.where(x + 2 * y > (width + height) * 0.7, 220, 30),
        255 * (1 - x * y / max(1, (width - 1) * (height - 1))),
    ]
    values = np.stack(planes[:channels], axis=-1) + random.uniform(-noise, noise, (height, width, channels))
    return np.clip(values, 0, 255).astype(np.uint8)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def upright(data):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA")).astype(np.float64)
        flat = np.floor(rgba[..., :3] * rgba[..., 3:] / 255 + 0.5).astype(np.uint8)
        return Image.fromarray(flat)
    return image.convert("RGB")


def to_size(image, size, how):
    if how == "squash":
        return image.resize((size, size), Image.Resampling.BILINEAR)
    # The arithmetic of torchvision's Resize(size) and CenterCrop(size): the longer side is cut off, halves are rounded to even.
    short, long = sorted(image.size)
    longer = int(size * long / short)
    width, height = (size, longer) if image.width <= image.height else (longer, size)
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    top, left = int(round((height - size) / 2.0)), int(round((width - size) / 2.0))
    return scaled.crop((left, top, left + size, top + size))


def text(data):
    return base64.b64encode(data).decode()


def pixels(image):
    return text(np.asarray(image).tobytes())


def decoded(name, data):
    image = upright(data)
    assert image.width == image.height
    return {"name": name, "size": image.width, "file": text(data), "rgb": pixels(image), "grey": pixels(image.convert("L"))}


def rgb(width, height=None):
    return Image.fromarray(picture(width, height or width, 3))


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


grey = Image.fromarray(picture(12, 12, 1)[..., 0])
rgba = Image.fromarray(picture(12, 12, 4))
palette = rgb(12).quantize(17)
clear = palette.copy()
clear.info["transparency"] = 3

exact = [
    decoded("PNG, RGB", encode(rgb(12), "PNG")),
    decoded("PNG, grey", encode(grey, "PNG")),
    decoded("PNG, RGBA", encode(rgba, "PNG")),
    decoded("PNG, grey and alpha", encode(rgba.convert("LA"), "PNG")),
    decoded("PNG, palette", encode(palette, "PNG")),
    decoded("PNG, palette with a clear colour", encode(clear, "PNG", transparency=3)),
    decoded("PNG, one bit", encode(grey.convert("1"), "PNG")),
    decoded("PNG with a colour profile of another gamma", encode(rgb(12), "PNG", icc_profile=None, gamma=1.0)),
    decoded("WebP, lossless", encode(rgb(12), "WEBP", lossless=True)),
    decoded("WebP, lossless with alpha", encode(rgba, "WEBP", lossless=True, exact=True)),
    *[decoded(f"PNG, EXIF orientation {k}", encode(rgb(12), "PNG", exif=exif(k))) for k in range(1, 9)],
]
lossy = [
    decoded("JPEG, 4:4:4", encode(rgb(32), "JPEG", quality=90, subsampling=0)),
    decoded("JPEG, 4:2:0", encode(rgb(32), "JPEG", quality=80)),
    decoded("JPEG, progressive", encode(rgb(32), "JPEG", quality=80, progressive=True)),
    decoded("JPEG, grey", encode(grey, "JPEG", quality=90)),
    *[decoded(f"JPEG, EXIF orientation {k}", encode(rgb(16), "JPEG", quality=90, subsampling=0, exif=exif(k))) for k in (3, 6, 8)],
    decoded("WebP, lossy", encode(rgb(32), "WEBP", quality=80)),
]

resized = []
for name, image, kind, size in [
    ("64x64 to 32, as Tiny ImageNet", rgb(64), "PNG", 32),
    ("61x45 to 32", rgb(61, 45), "PNG", 32),
    ("45x61 to 32", rgb(45, 61), "PNG", 32),
    ("150x100 to 28", rgb(150, 100), "PNG", 28),
    ("200x200 to 20, tenfold", rgb(200), "PNG", 20),
    ("20x12 to 32, enlarged", rgb(20, 12), "PNG", 32),
    ("JPEG 160x160 to 32, fivefold", rgb(160), "JPEG", 32),
    ("WebP 160x120 to 32", rgb(160, 120), "WEBP", 32),
]:
    data = encode(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    for how in ("center-crop", "squash"):
        for_network = to_size(upright(data), size, how)
        resized.append({"name": name, "resize": how, "size": size, "file": text(data), "rgb": pixels(for_network)})

# Stripes show a shift of half a pixel; the sizes are those of cameras, of which the longer side is seldom a whole number when it is scaled.
for width, height, size in [(400, 300, 32), (300, 400, 32), (125, 94, 32), (94, 125, 32), (37, 24, 21), (500, 375, 224), (97, 64, 33)]:
    stripes = np.zeros((height, width, 3), np.uint8)
    across, down = np.arange(width) // 12 % 2, np.arange(height) // 12 % 2
    stripes[...] = 255 * (across[None, :] ^ down[:, None])[..., None]
    data = encode(Image.fromarray(stripes).convert("1"), "PNG")
    for_network = to_size(upright(data), size, "center-crop")
    entry = {"name": f"stripes, {width}x{height} to {size}", "resize": "center-crop", "size": size, "file": text(data)}
    resized.append({**entry, "rgb": pixels(for_network)})


def inks(name, planes, **options):
    data = encode(Image.fromarray(planes, "CMYK"), "JPEG", quality=100, **options)
    return decoded(name, data)


solid = {name: np.tile(np.uint8(values), (16, 16, 1)) for name, values in {
    "cyan": (255, 0, 0, 0), "magenta": (0, 255, 0, 0), "black": (0, 0, 0, 255), "grey": (0, 0, 0, 128), "mixed": (40, 90, 200, 60),
}.items()}  # fmt: skip
cmyk = [inks(f"CMYK, {name}", planes) for name, planes in solid.items()]
cmyk.append(inks("CMYK, slopes and noise", picture(32, 32, 4)))
cmyk.append(inks("CMYK, progressive, 4:2:0", picture(32, 32, 4, noise=5), progressive=True))


def without_adobe(data):
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


def as_ycck(data):
    """The same coded planes, read as Y, Cb, Cr, K by the last byte of the Adobe segment."""
    start = data.index(b"\xff\xee")
    end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[: end - 1] + b"\x02" + data[end:]


plain = encode(Image.fromarray(picture(32, 32, 4), "CMYK"), "JPEG", quality=100)
cmyk.append(decoded("YCCK", as_ycck(plain)))
cmyk.append(decoded("CMYK without an Adobe segment", without_adobe(plain)))

# Pixels of a sound file, with headers that break the standard; Pillow reads them as the sound ones.
sound = encode(rgb(32), "JPEG", quality=90, restart_marker_rows=1)
scan = sound.rindex(b"\xff\xda")
scan_end = scan + 2 + int.from_bytes(sound[scan + 2 : scan + 4], "big")
table = sound.index(b"\xff\xc4")
odd_files = {
    "scan header 0, 0, 0": sound[: scan_end - 3] + b"\0\0\0" + sound[scan_end:],
    "zeros before a marker": sound[:table] + b"\0\0\0" + sound[table:],
    "garbage before a marker": sound[:table] + b"abc" + sound[table:],
    "JFIF version 5.05": sound.replace(b"JFIF\0\x01\x01", b"JFIF\0\x05\x05"),
    "wrong restart marker": sound[:scan_end] + sound[scan_end:].replace(b"\xff\xd1", b"\xff\xd4", 1),
    "fill bytes before a marker": sound[:table] + b"\xff\xff" + sound[table:],
}
odd = [decoded(f"JPEG, {name}", data) for name, data in odd_files.items()]

found = {"exact": exact, "lossy": lossy, "resized": resized, "cmyk": cmyk, "odd": odd}
HERE.joinpath("images.json").write_text(json.dumps(found, indent=1) + "\n")
