#include "worker/train/checkpoint/part_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "common/support/crc32c.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker::train {

namespace {

constexpr char magic[8] = {'m', 'g', 'p', 'u', 'p', 'a', 'r', 't'};

struct Head {
  char magic_text[8];
  std::uint32_t version;
  std::uint32_t crc; ///< CRC-32C of everything after the head
  std::uint64_t json_bytes, data_bytes;
  std::uint64_t reserved[4];
};
static_assert(sizeof(Head) == 64);

/// A file being written; removed unless rename_to() was called.
class OutputFile {
 public:
  explicit OutputFile(std::string path) : path_(std::move(path)) {
    fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) fail("open");
  }
  ~OutputFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    unlink(path_.c_str());
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write");
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  void rename_to(const std::string& target) {
    if (fsync(fd_) != 0) fail("fsync");
    if (::close(std::exchange(fd_, -1)) != 0) fail("close");
    if (rename(path_.c_str(), target.c_str()) != 0) fail("rename");
  }

 private:
  [[noreturn]] void fail(const char* call) const {
    const bool full = errno == ENOSPC || errno == EDQUOT;
    throw Error(fmt::format("cannot write the checkpoint {}: {}: {}", path_, call, std::strerror(errno)),
                full ? ExitCode::stopped : ExitCode::failed);
  }
  std::string path_;
  int fd_ = -1;
};

std::span<const std::byte> bytes_of(const torch::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

nlohmann::json describe(const Part& part) {
  nlohmann::json slices = nlohmann::json::array(), tensors = nlohmann::json::array();
  for (const collective::Slice& slice : part.slices) slices.push_back({slice.begin, slice.end});
  for (const NamedTensor& each : part.tensors)
    tensors.push_back(
        {{"name", each.name}, {"type", static_cast<int>(each.tensor.scalar_type())}, {"shape", each.tensor.sizes().vec()}});
  return {{"step", part.step},
          {"rank", part.rank},
          {"world_size", part.world_size},
          {"elements", part.elements},
          {"slices", std::move(slices)},
          {"arrays", part.arrays.size()},
          {"tensors", std::move(tensors)},
          {"state", part.state}};
}

/// Reads the bytes of a part in order.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  void take(void* to, std::size_t size) {
    if (size > bytes_.size()) throw std::out_of_range("");
    if (size > 0) std::memcpy(to, bytes_.data(), size);
    bytes_ = bytes_.subspan(size);
  }

 private:
  std::span<const std::byte> bytes_;
};

Part parse(const nlohmann::json& json, Reader numbers) {
  Part part;
  part.step = json.at("step");
  part.rank = json.at("rank");
  part.world_size = json.at("world_size");
  part.elements = json.at("elements");
  part.state = json.at("state");
  std::size_t own = 0;
  for (const auto& slice : json.at("slices")) {
    part.slices.push_back({slice.at(0), slice.at(1)});
    own += part.slices.back().size();
  }
  part.arrays.resize(json.at("arrays"));
  for (auto& array : part.arrays) {
    array.resize(own);
    numbers.take(array.data(), own * sizeof(float));
  }
  for (const auto& each : json.at("tensors")) {
    const auto shape = each.at("shape").get<std::vector<std::int64_t>>();
    torch::Tensor tensor = torch::empty(shape, static_cast<torch::ScalarType>(each.at("type").get<int>()));
    numbers.take(tensor.mutable_data_ptr(), tensor.nbytes());
    part.tensors.push_back({each.at("name"), tensor});
  }
  return part;
}

} // namespace

std::string part_name(int rank) {
  return fmt::format("rank-{:04}.part", rank);
}

std::uint64_t write_part(const std::string& path, const Part& part) {
  const std::string json = describe(part).dump();
  std::vector<std::span<const std::byte>> pieces{std::as_bytes(std::span(json))};
  std::uint64_t data_bytes = 0;
  for (const auto& array : part.arrays) pieces.push_back(std::as_bytes(std::span(array)));
  for (const NamedTensor& each : part.tensors) pieces.push_back(bytes_of(each.tensor));
  Head head{};
  std::memcpy(head.magic_text, magic, sizeof magic);
  head.version = part_version;
  for (const auto piece : pieces) {
    head.crc = crc32c(piece, head.crc);
    data_bytes += piece.size();
  }
  head.json_bytes = json.size();
  head.data_bytes = data_bytes - json.size();
  OutputFile file(path + ".tmp");
  file.write(std::as_bytes(std::span(&head, 1)));
  for (const auto piece : pieces) file.write(piece);
  file.rename_to(path);
  return sizeof head + data_bytes;
}

Part read_part(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw usage_error(fmt::format("the checkpoint's part {} cannot be read", path));
  std::error_code ignored;
  const auto size = std::filesystem::file_size(path, ignored);
  Head head{};
  file.read(reinterpret_cast<char*>(&head), sizeof head);
  if (!file || std::memcmp(head.magic_text, magic, sizeof magic) != 0)
    throw usage_error(fmt::format("{} is not a part of a checkpoint", path));
  if (head.version > part_version)
    throw usage_error(
        fmt::format("{} was written by a newer version ({}; this one reads up to {})", path, head.version, part_version));
  if (head.json_bytes > size || head.data_bytes > size || sizeof head + head.json_bytes + head.data_bytes != size)
    throw usage_error(fmt::format("{} is truncated: {} bytes", path, size));
  std::vector<std::byte> bytes(size - sizeof head);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file || crc32c(bytes) != head.crc) throw usage_error(fmt::format("{} is damaged: its checksum is wrong", path));
  try {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    return parse(nlohmann::json::parse(text, text + head.json_bytes), Reader(std::span(bytes).subspan(head.json_bytes)));
  } catch (const std::exception&) {
    throw usage_error(fmt::format("{} is damaged: its description does not fit its numbers", path));
  }
}

std::size_t copy_overlap(const Part& part, std::size_t array, const std::vector<collective::Slice>& wanted,
                         std::vector<float>& out) {
  std::size_t copied = 0, to = 0;
  for (const collective::Slice& want : wanted) {
    std::size_t from = 0;
    for (const collective::Slice& have : part.slices) {
      const std::size_t begin = std::max(want.begin, have.begin), end = std::min(want.end, have.end);
      if (begin < end) {
        const auto* source = part.arrays.at(array).data() + from + (begin - have.begin);
        std::copy_n(source, end - begin, out.data() + to + (begin - want.begin));
        copied += end - begin;
      }
      from += have.size();
    }
    to += want.size();
  }
  return copied;
}

} // namespace mgpu::worker::train
