"""Expected bit patterns of lib/formats/half.ts, with NumPy (float16) and ml_dtypes (bfloat16), and files of both: writes files_half.json.

    python test/reference/files_half.py
"""

import base64
import io
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import safetensors
from safetensors.numpy import save

here = Path(__file__).parent
rng = np.random.default_rng(7)
# 2**t for t over more than the range of each: normal, subnormal, rounded to zero. From float32, so that no path rounds twice.
numbers = np.concatenate([rng.standard_normal(150) * 2.0 ** rng.integers(-28, 15, 150), [0.0, -0.0, np.inf, -np.inf]])
numbers = np.concatenate([numbers, [65504, 65519.99, 2**-24, 2**-25, 2**-25 * (1 + 2**-20), 3 * 2**-25, 2**-14, 2**-14 - 2**-25]]).astype("float32")
small = np.concatenate([rng.standard_normal(60) * 2.0 ** rng.integers(-140, 126, 60), [2**-133, 2**-134, 3 * 2**-134, 3.38e38]]).astype("float32")


def bits(array):
    return array.view("uint16").tolist()


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return base64.b64encode(buffer.getvalue()).decode()


matrix = (rng.standard_normal((5, 3)) * 4).astype("float32")
half = matrix.astype("float16")
document = {
    "numpy": np.__version__,
    "safetensors": safetensors.__version__,
    "numbers": [repr(float(x)) for x in numbers],
    "float16": bits(numbers.astype("float16")),
    "brainNumbers": [repr(float(x)) for x in np.concatenate([numbers, small])],
    "bfloat16": bits(np.concatenate([numbers, small]).astype(ml_dtypes.bfloat16)),
    "matrix": [float(x) for x in half.reshape(-1)],
    "npy": {"float16": saved(half), "float16 in Fortran order": saved(np.asfortranarray(half))},
    "written": {"from": [float(x) for x in matrix.reshape(-1)], "base64": saved(half)},
    "tensors": base64.b64encode(
        save({"features": half, "logits": matrix.astype(ml_dtypes.bfloat16), "labels": np.array([0, 1, 255, 2, 1], "uint8")})
    ).decode(),
    "logits": [float(x) for x in matrix.astype(ml_dtypes.bfloat16).reshape(-1)],
}
(here / "files_half.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
print(f"{len(document['float16'])} numbers as float16, {len(document['bfloat16'])} as bfloat16")
