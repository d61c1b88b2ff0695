#pragma once
// The shards of a run, as their runs leave them, and the file of the run without --shard.
#include <gmock/gmock.h>

#include <sstream>

#include "agent/write/resume_rig.hpp"

namespace mgpu::agent::write::test {

/// 203 items in 29 batches of 7: shards 1/3, 2/3 and 3/3 have 10, 10 and 9 batches, the last one of which is of 7.
struct MergeTest : testing::Test {
  MergeTest() {
    const auto file = ResultFile::create(folder / "whole.h5", manifest, resumable_header(manifest));
    file->set_columns(all_columns());
    put_batches(*file, batches, 1);
    file->finish(some_footer());
    expected = contents(ReadFile(folder / "whole.h5"));
  }

  Header header_of(const manifest::Shard& shard) const {
    const manifest::ItemSpan span = manifest::items_of(shard, items, batch_size);
    const manifest::Manifest part = manifest.part(span.first, span.count);
    Header header = resumable_header(part);
    header.command = "mgpu_run infer --input x --shard " + shard.text();
    header.config_json = "{\"batch-size\": 7, \"shard\": \"" + shard.text() + "\"}";
    header.identity->shard = {shard, span.first, items, sha256_of(manifest)};
    return header;
  }
  /// A shard's file, complete or with its last batch pending; the rank of a batch is its number in the shard.
  std::string make(std::uint32_t index, std::uint32_t count, const std::string& name = "", const Header* other = nullptr,
                   bool complete = true) {
    const manifest::Shard shard{index, count};
    const manifest::ItemSpan span = manifest::items_of(shard, items, batch_size);
    const std::string path = folder / (name.empty() ? "part" + std::to_string(index) + ".h5" : name);
    const auto file =
        ResultFile::create(path, manifest.part(span.first, span.count), other != nullptr ? *other : header_of(shard));
    if (span.count > 0) file->set_columns(all_columns());
    const std::uint64_t own = (span.count + batch_size - 1) / batch_size;
    for (std::uint64_t batch = 0; batch < own - (complete ? 0 : 1); ++batch) {
      const std::uint64_t first = batch * batch_size;
      const SampleBatch sample(all_columns(), span.first + first, std::min<std::uint64_t>(batch_size, span.count - first), batch);
      wire::BatchResult result = sample.result;
      result.first = first;
      file->put(result, static_cast<std::int32_t>(batch));
    }
    file->finish(some_footer(complete));
    return path;
  }
  std::vector<std::string> make_all(std::uint32_t count) {
    std::vector<std::string> paths;
    for (std::uint32_t index = 1; index <= count; ++index) paths.push_back(make(index, count));
    return paths;
  }

  MergedRun merged(const std::vector<std::string>& paths, bool overwrite = false) {
    std::ostringstream out;
    const MergedRun run = merge(paths, path, overwrite, "mgpu_run merge", out);
    said = out.str();
    return run;
  }
  std::string refused(const std::vector<std::string>& paths, ExitCode code = ExitCode::usage) {
    try {
      merged(paths);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_FALSE(fs::exists(path));
      EXPECT_FALSE(fs::exists(path + ".merging"));
      return error.what();
    }
    ADD_FAILURE() << "it was merged";
    return "";
  }

  Folder folder;
  manifest::Manifest manifest = some_manifest(folder, items);
  std::string path = folder / "all.h5", said;
  std::vector<std::pair<std::string, std::string>> expected;
};

} // namespace mgpu::agent::write::test
