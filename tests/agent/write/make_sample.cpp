// Writes a result file of every type and layout for tests/agent/write/h5py_check.py: make_sample FOLDER → FOLDER/sample.h5.
#include <cstdio>

#include "agent/write/samples.hpp"

int main(int argc, char** argv) {
  using namespace mgpu::agent::write;
  if (argc != 2) return 2;
  try {
    const test::Folder folder;
    const auto manifest = test::some_manifest(folder, 50);
    const auto file = ResultFile::create(std::string(argv[1]) + "/sample.h5", manifest, test::some_header());
    file->set_columns(test::all_columns());
    for (const std::uint64_t first : {20, 0, 30, 10, 40}) {
      const test::SampleBatch batch(test::all_columns(), first, 10);
      file->put(batch.result, 1);
      file->commit();
    }
    file->finish(test::some_footer());
  } catch (const mgpu::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
