#pragma once
// Runs that end at any place and are gone on with: what the tests of --resume and recover share.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <sstream>

#include "agent/write/hdf5/result_file.hpp"
#include "agent/write/journal/journal.hpp"
#include "agent/write/samples.hpp"
#include "agent/write/tools/tools.hpp"

namespace mgpu::agent::write::test {

using testing::HasSubstr;
using testing::Not;

inline constexpr std::uint64_t items = 203, batch_size = 7, batches = 29;

inline Header resumable_header(const manifest::Manifest& manifest) {
  Header header = some_header();
  Identity identity;
  identity.job = "infer";
  identity.version = "0.1.0";
  identity.device_kind = "cpu";
  identity.batch_size = batch_size;
  identity.options = {{"mean", "0.5"}, {"topk", 3}};
  identity.model = "model.pt";
  identity.model_state = "4 bytes of 1";
  identity.items = manifest.size();
  identity.manifest_sha256 = sha256_of(manifest);
  header.identity = identity;
  return header;
}

/// Puts the batches that are not done yet, in an order that depends on `seed`, until `count` are put. Each rank's number is its batch's.
inline void put_batches(ResultFile& file, std::uint64_t count, unsigned seed, int commit_every = 2) {
  std::vector<bool> done = file.earlier().batches;
  done.resize(batches);
  std::vector<std::uint64_t> left;
  for (std::uint64_t batch = 0; batch < batches; ++batch)
    if (!done[batch]) left.push_back(batch);
  std::mt19937 random(seed);
  std::shuffle(left.begin(), left.end(), random);
  left.resize(std::min<std::size_t>(left.size(), count));
  int puts = 0;
  for (const std::uint64_t batch : left) {
    const SampleBatch sample(all_columns(), batch * batch_size, std::min(batch_size, items - batch * batch_size), batch);
    file.put(sample.result, static_cast<std::int32_t>(batch));
    if (++puts % commit_every == 0) file.commit();
  }
}

struct Resume : testing::Test {
  Resume() : manifest(some_manifest(folder, items)), header(resumable_header(manifest)), path(folder / "out.h5") {
    const auto file = ResultFile::create(folder / "whole.h5", manifest, header);
    file->set_columns(all_columns());
    put_batches(*file, batches, 1);
    file->finish(some_footer());
    expected = contents(ReadFile(folder / "whole.h5"));
  }

  /// What a run leaves that did `count` batches and then went no further.
  void leave(std::uint64_t count, unsigned seed = 2) {
    const auto file = ResultFile::create(path, manifest, header);
    file->set_columns(all_columns());
    put_batches(*file, count, seed);
    file->commit();
  }
  void finish_and_compare() {
    const auto file = ResultFile::resume(path, header);
    ASSERT_TRUE(file);
    file->set_columns(all_columns());
    put_batches(*file, batches, 3);
    file->finish(some_footer());
    EXPECT_EQ(contents(ReadFile(path)), expected);
    EXPECT_TRUE(ReadFile(path).complete());
    EXPECT_FALSE(fs::exists(path + ".journal"));
    EXPECT_FALSE(fs::exists(path + ".partial"));
  }
  std::string refusal() {
    try {
      ResultFile::resume(path, header);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
      return error.what();
    }
    return "";
  }

  Folder folder;
  manifest::Manifest manifest;
  Header header;
  std::string path;
  std::vector<std::pair<std::string, std::string>> expected;
};

/// A file opened in a child, since a damaged one may crash the library.
inline bool readable(const std::string& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      ::_exit(contents(ReadFile(path)).empty() ? 1 : 0);
    } catch (const Error&) {
      ::_exit(1);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// What `recover` says, or refuses with.
inline std::string recovered(const std::string& path) {
  std::ostringstream said;
  try {
    recover(path, said);
  } catch (const Error& error) {
    return error.what();
  }
  return said.str();
}

/// Recovers into a copy of the folder's files; how many items it holds that are done.
inline std::uint64_t recovered_items(const std::string& path) {
  std::ostringstream said;
  recover(path, said);
  EXPECT_TRUE(readable(path)) << said.str();
  std::uint64_t done = 0;
  const ReadFile file(path);
  EXPECT_FALSE(file.complete());
  for (const Status status : file.status()) done += status == Status::pending ? 0 : 1;
  return done;
}

} // namespace mgpu::agent::write::test
