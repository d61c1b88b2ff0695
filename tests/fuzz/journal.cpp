// The journal of a dead run. The first byte says how: 0 and 1: the bytes are the file; else they are frames (kind, length, payload) that
// get checksums of their own, so that what stands behind the checksums is read as well.
#include <sstream>

#include "agent/write/journal/journal.hpp"
#include "agent/write/tools/tools.hpp"
#include "fuzz/fuzz.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;

void write_frames(const std::string& path, std::string_view bytes) {
  write::Journal journal(path, write::RawFile::Mode::create);
  while (bytes.size() >= 3) {
    const auto kind = static_cast<write::FrameKind>(1 + static_cast<unsigned char>(bytes[0]) % 8);
    const std::size_t wanted = static_cast<unsigned char>(bytes[1]) + 256u * static_cast<unsigned char>(bytes[2]);
    bytes.remove_prefix(3);
    const std::string_view payload = bytes.substr(0, wanted);
    bytes.remove_prefix(payload.size());
    const wire::View view(reinterpret_cast<const std::byte*>(payload.data()), payload.size());
    if (kind == write::FrameKind::head)
      journal.append_twice(kind, view);
    else
      journal.append(kind, view);
  }
  journal.commit();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = fuzz::text_of(data + 1, size - 1);
  const std::string output = "/dev/shm/mgpu_fuzz_" + std::to_string(getpid()) + ".h5", journal = write::Journal::path_of(output);
  for (const char* ending : {"", ".journal", ".partial"}) ::unlink((output + ending).c_str());
  if (data[0] < 2) {
    const fuzz::File file("raw.h5.journal", bytes);
    fuzz::must_not_fall([&] {
      std::ostringstream said;
      write::recover(file.path().substr(0, file.path().size() - std::string_view(".journal").size()), said);
    });
    ::unlink(file.path().substr(0, file.path().size() - std::string_view(".journal").size()).c_str());
  } else {
    fuzz::must_not_fall([&] {
      write_frames(journal, bytes);
      std::ostringstream said;
      write::recover(output, said);
    });
  }
  for (const char* ending : {"", ".journal", ".partial"}) ::unlink((output + ending).c_str());
  return 0;
}
