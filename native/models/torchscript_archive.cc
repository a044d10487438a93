// Reads a TorchScript file.
#include "models/torchscript_archive.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "core/errors.h"

namespace ood {

namespace {

class Bytes final : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit Bytes(at::Tensor bytes) : bytes_(std::move(bytes)) {}

  size_t size() const override { return bytes_.nbytes(); }

  size_t read(uint64_t position, void* into, size_t count, const char*) const override {
    if (position >= size()) return 0;
    const size_t taken = std::min<size_t>(count, size() - position);
    std::memcpy(into, bytes_.const_data_ptr<uint8_t>() + position, taken);
    return taken;
  }

 private:
  at::Tensor bytes_;
};

constexpr const char* how_to_export =
    "; in PyTorch, torch.jit.trace(model.eval(), example).save(path) or torch.jit.script(model.eval()).save(path) "
    "writes a TorchScript file";

[[noreturn]] void fail_as_foreign(const std::string& path, const std::string& found) {
  fail("ERR_CORRUPT_FILE", path, ": expected a TorchScript file, found ", found, how_to_export);
}

std::string words_of_current_exception() { return describe_exception(std::current_exception()).second; }

// PyTorch packs weights as they are; only code is compressed.
void require_bounded(caffe2::serialize::PyTorchStreamReader& reader, size_t file_size, const std::string& path) {
  const size_t most = 16 * file_size + (size_t{16} << 20);
  size_t total = 0;
  for (const std::string& name : reader.getAllRecords()) {
    const size_t size = reader.getRecordSize(name);
    if (size > most - total) {
      fail("ERR_CORRUPT_FILE", path, ": expected records of at most ", most, " bytes in a file of ", file_size,
           ", found more");
    }
    total += size;
  }
}

bool is_identifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Whether the source calls a function of this name, or names it in quotes.
bool calls(std::string_view source, std::string_view name) {
  for (size_t at = source.find(name); at != std::string_view::npos; at = source.find(name, at + 1)) {
    const size_t end = at + name.size();
    if ((at > 0 && is_identifier(source[at - 1])) || (end < source.size() && is_identifier(source[end]))) continue;
    const size_t next = source.find_first_not_of(" \t\r\n", end);
    if (next != std::string_view::npos && std::strchr("(\"'", source[next]) != nullptr) return true;
  }
  return false;
}

// A defence against the plainest misuse, not a sandbox: a model has no need of operators that open files.
void require_no_files(caffe2::serialize::PyTorchStreamReader& reader, const std::string& path) {
  for (const std::string& record : reader.getAllRecords()) {
    if (!record.starts_with("code/") || !record.ends_with(".py")) continue;
    const auto [data, size] = reader.getRecord(record);
    const std::string_view source(static_cast<const char*>(data.get()), size);
    for (const char* name : {"from_file", "save"}) {
      if (calls(source, name)) {
        fail("ERR_OPTION", path, ": the model's program calls ", name, ", which opens files; such a model is refused");
      }
    }
  }
}

void require_archive(const std::shared_ptr<Bytes>& bytes, const std::string& path) {
  std::optional<caffe2::serialize::PyTorchStreamReader> reader;
  try {
    reader.emplace(bytes);
    // A record that is there has a header at its place too.
    for (const std::string& name : reader->getAllRecords()) reader->getRecordOffset(name);
  } catch (const std::exception&) {
    fail("ERR_CORRUPT_FILE", path, ": expected a TorchScript file, found a damaged or truncated archive (",
         words_of_current_exception(), ")");
  }
  const bool pickle = reader->hasRecord("data.pkl");
  if (!pickle || !reader->hasRecord("constants.pkl")) {
    if (pickle) fail_as_foreign(path, "weights or a pickled object that torch.save wrote, without the model's program");
    const auto records = reader->getAllRecords();
    const bool exported = std::any_of(records.begin(), records.end(), [](const std::string& name) {
      return name.find("exported_program") != std::string::npos || name.starts_with("models/") ||
             name == "archive_format";
    });
    fail_as_foreign(path, exported ? "a program that torch.export wrote" : "another kind of archive");
  }
  require_bounded(*reader, bytes->size(), path);
  require_no_files(*reader, path);
}

void require_magic(const at::Tensor& bytes, const std::string& path) {
  const std::string_view start(static_cast<const char*>(bytes.const_data_ptr()), std::min<size_t>(bytes.nbytes(), 4));
  if (start == std::string_view("PK\x03\x04", 4)) return;
  if (start.empty()) fail_as_foreign(path, "an empty file");
  if (start[0] == '\x80') fail_as_foreign(path, "a pickle, as torch.save wrote before PyTorch 1.6");
  fail_as_foreign(path, "another format");
}

}  // namespace

std::string interpreter_words(const std::string& message) {
  constexpr std::string_view marks[] = {"RuntimeError: ", "NotImplementedError: ", "Error: ", "Exception: "};
  std::string_view words = message;
  if (words.find("TorchScript interpreter") != std::string_view::npos) {
    for (const std::string_view mark : marks) {
      const size_t at = words.rfind(mark);
      if (at == std::string_view::npos) continue;
      words.remove_prefix(at + mark.size());
      break;
    }
  }
  // The first paragraph says it; the rest is a trace of libtorch or of the program.
  words = words.substr(0, std::min(words.find("\n\n"), words.find("\nException raised")));
  std::string line(words.substr(0, 400));
  std::replace(line.begin(), line.end(), '\n', ' ');
  line.erase(line.find_last_not_of(" .") + 1);
  return line;
}

void require_inside_storage(const at::Tensor& tensor, const std::string& path) {
  if (!tensor.defined() || !tensor.has_storage() || tensor.numel() == 0) return;
  // Wide, so that hostile numbers cannot wrap around.
  __int128 last = tensor.storage_offset();
  bool positive = last >= 0;
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    positive = positive && tensor.size(d) >= 0 && tensor.stride(d) >= 0;
    last += static_cast<__int128>(tensor.size(d) - 1) * tensor.stride(d);
  }
  const __int128 bytes = (last + 1) * static_cast<__int128>(tensor.itemsize());
  if (!positive || bytes > static_cast<__int128>(tensor.storage().nbytes())) {
    fail("ERR_CORRUPT_FILE", path, ": expected tensors within their memory, found one of shape ", tensor.sizes(),
         " in ", tensor.storage().nbytes(), " bytes");
  }
}

torch::jit::Module read_torchscript(const at::Tensor& bytes, const std::string& path, at::Device device) {
  require_magic(bytes, path);
  const auto source = std::make_shared<Bytes>(bytes);
  require_archive(source, path);
  std::optional<torch::jit::Module> module;
  try {
    module = torch::jit::load(source, device, /*load_debug_files=*/false);
  } catch (...) {
    const auto [code, words] = describe_exception(std::current_exception());
    if (std::string_view(code) == "ERR_OUT_OF_MEMORY" || std::string_view(code) == "ERR_DEVICE") {
      fail(code, path, ": ", interpreter_words(words));
    }
    constexpr std::string_view unknown = "Unknown builtin op: ";
    const size_t at = words.find(unknown);
    if (at == std::string::npos) {
      fail("ERR_CORRUPT_FILE", path, ": the TorchScript program cannot be loaded: ", interpreter_words(words));
    }
    const size_t name = at + unknown.size();
    size_t end = words.find_first_of(" \n", name);
    if (end != std::string::npos && end > name && words[end - 1] == '.') --end;
    fail("ERR_OPTION", path, ": the model calls the operator ", words.substr(name, end - name),
         ", which libtorch does not have");
  }
  for (const auto& [name, value] : module->named_attributes(/*recurse=*/true)) {
    if (value.isTensor()) require_inside_storage(value.toTensor(), path);
  }
  return *module;
}

}  // namespace ood
