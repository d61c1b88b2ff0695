#include "common/support/hash.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu {

namespace {

namespace fs = std::filesystem;
using Digest = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

/// `on_block` gets the size of each block.
void add_file(EVP_MD_CTX* digest, const fs::path& path, const std::function<void(std::size_t)>& on_block) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  if (!file) throw Error(fmt::format("cannot read {}", path.string()));
  std::vector<unsigned char> block(1 << 20);
  for (std::size_t got = 0; (got = std::fread(block.data(), 1, block.size(), file.get())) > 0;) {
    EVP_DigestUpdate(digest, block.data(), got);
    on_block(got);
  }
  if (std::ferror(file.get()) != 0) throw Error(fmt::format("cannot read all of {}", path.string()));
}

std::string hex_of(EVP_MD_CTX* digest) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  EVP_DigestFinal_ex(digest, bytes.data(), &size);
  std::string hex;
  for (unsigned at = 0; at < size; ++at) hex += fmt::format("{:02x}", bytes[at]);
  return hex;
}

/// Maximum depth: a linked folder that contains itself would never end.
constexpr int deepest = 32;

/// All regular files below a folder, links followed, in order of their paths.
std::vector<fs::path> files_of(const std::string& folder) {
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator at(folder, fs::directory_options::follow_directory_symlink), end; at != end; ++at) {
    if (at.depth() > deepest) throw Error(fmt::format("{} has more than {} levels of folders", show_path(folder), deepest));
    if (at->is_regular_file()) files.push_back(at->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

} // namespace

struct Sha256::Impl {
  Digest digest{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  EVP_DigestInit_ex(impl_->digest.get(), EVP_sha256(), nullptr);
}

Sha256::~Sha256() = default;

void Sha256::add(std::string_view text) {
  const std::uint64_t size = text.size();
  EVP_DigestUpdate(impl_->digest.get(), &size, sizeof size);
  EVP_DigestUpdate(impl_->digest.get(), text.data(), text.size());
}

std::string Sha256::hex() {
  return hex_of(impl_->digest.get());
}

std::string state_of(const std::string& path) {
  const auto describe = [](const fs::path& file) {
    return fmt::format("{} bytes of {}", fs::file_size(file), fs::last_write_time(file).time_since_epoch().count());
  };
  std::error_code error;
  if (!fs::is_directory(path, error)) return describe(path);
  Sha256 all;
  for (const fs::path& file : files_of(path)) {
    all.add(file.lexically_relative(path).string());
    all.add(describe(file));
  }
  return all.hex();
}

std::string sha256_of_text(std::string_view text) {
  const Digest digest(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  EVP_DigestUpdate(digest.get(), text.data(), text.size());
  return hex_of(digest.get());
}

std::string sha256_of(const std::string& path, const OnReading& on_reading) {
  const Digest digest(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  const bool folder = fs::is_directory(path);
  const std::vector<fs::path> files = folder ? files_of(path) : std::vector<fs::path>{path};
  std::uint64_t done = 0, total = 0;
  std::error_code error;
  for (const fs::path& file : files)
    if (const auto size = fs::file_size(file, error); !error) total += size; // reading the file reports the error
  for (const fs::path& file : files) {
    const std::string name = file.lexically_relative(path).string();
    if (folder) { // with its length, or one file could look like two
      const std::string head = fmt::format("{}\n{}\n", name, fs::file_size(file));
      EVP_DigestUpdate(digest.get(), head.c_str(), head.size() + 1);
    }
    add_file(digest.get(), file, [&](std::size_t bytes) {
      done += bytes;
      if (on_reading) on_reading(path, done, total);
    });
  }
  return hex_of(digest.get());
}

void require_sha256(const std::string& path, std::string_view wanted) {
  if (wanted.empty()) return;
  std::string lower(wanted);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string found = sha256_of(path);
  if (found != lower)
    throw usage_error(fmt::format("--model {}: its SHA-256 is {}, --model-sha256 wants {}", show_path(path), found, lower));
}

} // namespace mgpu
