// Reads a TorchScript file: tells it from other files, bounds what it unpacks to, and says in words why it cannot be
// read.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <string>

namespace ood {

// The module in the bytes of a file (uint8 [n] in host memory), on the device. ERR_CORRUPT_FILE for anything but a
// TorchScript archive, for one that unpacks to far more than its size and one whose tensors reach beyond their memory;
// ERR_OPTION for a program that calls operators which libtorch does not have, or which open files.
torch::jit::Module read_torchscript(const at::Tensor& bytes, const std::string& path, at::Device device);

// What went wrong in the interpreter, without its trace of the program.
std::string interpreter_words(const std::string& message);

// ERR_CORRUPT_FILE where the tensor reaches beyond its storage: files state sizes and strides.
void require_inside_storage(const at::Tensor& tensor, const std::string& path);

}  // namespace ood
