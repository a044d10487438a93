// The packages of NVIDIA that wheels of PyTorch name, in the forms that METADATA has had.

import { nvidiaRequirements } from "../../../lib/native/libtorch/requirements";

const separate = `Metadata-Version: 2.4
Name: torch
Requires-Dist: filelock
Requires-Dist: nvidia-cuda-nvrtc-cu12==12.8.93; platform_system == "Linux"
Requires-Dist: nvidia-cuda-runtime-cu12==12.8.90; platform_system == "Linux"
Requires-Dist: nvidia-cuda-cupti-cu12==12.8.90; platform_system == "Linux"
Requires-Dist: triton~=3.5.0; platform_system == "Linux"
`;

const withExtras = `Requires-Dist: sympy>=1.13.3
Requires-Dist: cuda-toolkit[cublas,cudart,cupti]==13.0.3; platform_system == "Linux"
Requires-Dist: cuda-bindings<14,>=13.0.3; platform_system == "Linux" and python_version < "3.15"
Requires-Dist: nvidia-cudnn-cu13==9.24.0.43; platform_system == "Linux"
`;

test("separate packages: the run-time and the profiling library for the CPU, all of NVIDIA's for CUDA", () => {
  expect(nvidiaRequirements(separate, "cpu")).toEqual(["nvidia-cuda-runtime-cu12==12.8.90", "nvidia-cuda-cupti-cu12==12.8.90"]);
  expect(nvidiaRequirements(separate, "all")).toEqual([
    "nvidia-cuda-nvrtc-cu12==12.8.93",
    "nvidia-cuda-runtime-cu12==12.8.90",
    "nvidia-cuda-cupti-cu12==12.8.90",
  ]);
});

test("one package with extras: reduced to the two extras for the CPU, kept whole for CUDA", () => {
  expect(nvidiaRequirements(withExtras, "cpu")).toEqual(["cuda-toolkit[cudart,cupti]==13.0.3"]);
  expect(nvidiaRequirements(withExtras, "all")).toEqual(["cuda-toolkit[cublas,cudart,cupti]==13.0.3", "nvidia-cudnn-cu13==9.24.0.43"]);
});

test("a CPU build names none", () => {
  expect(nvidiaRequirements("Requires-Dist: filelock\nRequires-Dist: jinja2\n", "cpu")).toEqual([]);
});
