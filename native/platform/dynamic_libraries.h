// Shared libraries that are opened by path, and never closed.
#pragma once

#include <optional>
#include <string>

namespace ood::dynamic_libraries {

// Opens a library, with all that it needs, for those that name it by SONAME. Returns why that failed, in the system's
// words; nothing where it did not.
std::optional<std::string> open(const std::string& path);

// The path of the library that this process has loaded under a SONAME, by us or by anyone else; nothing where it has
// none, or where the system does not tell.
std::optional<std::string> loaded(const std::string& soname);

}  // namespace ood::dynamic_libraries
