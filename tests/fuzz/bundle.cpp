// bundle.json.
#include <filesystem>

#include "fuzz/fuzz.hpp"
#include "mgpu/bundle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mgpu;
  static const std::string folder = [] {
    std::string place = "/dev/shm/mgpu_fuzz_bundle_" + std::to_string(getpid());
    std::filesystem::create_directory(place);
    std::fclose(std::fopen((place + "/net.pt").c_str(), "wb"));
    std::atexit([] { std::filesystem::remove_all("/dev/shm/mgpu_fuzz_bundle_" + std::to_string(getpid())); });
    return place;
  }();
  std::FILE* file = std::fopen((folder + "/bundle.json").c_str(), "wb");
  std::fwrite(data, 1, size, file);
  std::fclose(file);
  fuzz::must_not_fall([&] { Bundle::open(folder, Config(nlohmann::json::object())); });
  return 0;
}
