#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <random>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/result_file.hpp"
#include "agent/write/samples.hpp"

namespace mgpu::agent::write::test {
namespace {

/// Opens a file in a child process, since a damaged one may crash the library. Returns the number of items with status ok whose
/// row of column `scalar` is right; -1 if anything is wrong.
int good_rows_seen_by_a_child(const std::string& path) {
  int ends[2];
  if (::pipe(ends) != 0) return -1;
  const pid_t child = ::fork();
  if (child == 0) {
    int good = -1;
    try {
      const ReadFile file(path);
      const auto status = file.status();
      const auto values = file.numbers("scalar");
      good = 0;
      for (std::uint64_t item = 0; item < file.size(); ++item) {
        if (status[item] != Status::ok) continue;
        if (values[item] != expected_value(item, 0, DType::float32)) {
          good = -1;
          break;
        }
        ++good;
      }
    } catch (const Error&) {
      good = -1;
    }
    const bool told = ::write(ends[1], &good, sizeof good) == sizeof good;
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  int good = -1;
  if (::read(ends[0], &good, sizeof good) != sizeof good) good = -1;
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? good : -1;
}

/// HDF5 crashes when it ends with a file that could not be closed.
TEST(Faults, AProcessWhoseDiskWasFullAtTheEndExitsAsItMeant) {
  const Folder folder;
  const auto leave = [&folder] {
    std::signal(SIGXFSZ, SIG_IGN);
    try {
      h5::Id file = h5::create_file(folder / "full.h5");
      h5::create_group(file, "results").close();
      const rlimit none{0, 0};
      setrlimit(RLIMIT_FSIZE, &none);
      file.close();
    } catch (const Error& error) {
      std::exit(static_cast<int>(error.code()));
    }
    std::exit(0);
  };
  EXPECT_EXIT(leave(), testing::ExitedWithCode(75), "");
}

TEST(Faults, AKilledRunLeavesAReadableFileWhoseStatusesAreTrue) {
  const Folder folder;
  const std::uint64_t items = 4000, batch_size = 8;
  const auto manifest = some_manifest(folder, items);
  std::mt19937 random(3);
  for (int trial = 0; trial < 8; ++trial) {
    const std::string path = folder / ("killed" + std::to_string(trial) + ".h5");
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        const auto file = ResultFile::create(path, manifest, some_header());
        file->set_columns(all_columns());
        for (std::uint64_t turn = 0;; ++turn) { // until killed
          const std::uint64_t first = turn * batch_size * 37 % items;
          const SampleBatch batch(all_columns(), first, batch_size);
          file->put(batch.result, 0);
          if (turn % 4 == 0) file->commit();
          if (turn == 4 && ::write(ends[1], "x", 1) != 1) ::_exit(1);
        }
      } catch (const Error&) {
        ::_exit(2);
      }
    }
    ::close(ends[1]);
    char started = 0;
    ASSERT_EQ(::read(ends[0], &started, 1), 1) << "the child ended early";
    ::close(ends[0]);
    ::usleep(static_cast<useconds_t>(random() % 30000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_GE(good_rows_seen_by_a_child(path + ".partial"), static_cast<int>(batch_size)) << trial;
  }
}

/// Runs `work` in a child under a limit on the size of files; the child's exit status is what `work` returns.
int under_file_limit(std::uint64_t bytes, const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{bytes, bytes};
    ::_exit(::setrlimit(RLIMIT_FSIZE, &limit) == 0 ? work() : 99);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int check_is_full(const Error& error) {
  const std::string text = error.what();
  std::fprintf(stderr, "%s\n", text.c_str());
  return error.code() == ExitCode::stopped && text.find("more are needed") != std::string::npos ? 0 : 2;
}

TEST(Faults, ADiskTooSmallIsSaidWhenTheColumnsAreKnown) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 1000);
  const int status = under_file_limit(4 << 20, [&] {
    const auto file = ResultFile::create(folder / "out.h5", manifest, some_header());
    try {
      file->set_columns({{"x", DType::float32, Layout::fixed, {100000}}});
    } catch (const Error& error) {
      return check_is_full(error);
    }
    return 1;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(ReadFile(folder / "out.h5.partial").size(), 1000u);
}

TEST(Faults, ADiskThatFillsUpStopsTheRunAndLosesNothingCommitted) {
  const Folder folder;
  const std::uint64_t items = 100;
  const auto manifest = some_manifest(folder, items);
  const std::vector<ColumnSpec> columns{{"scalar", DType::float32, Layout::fixed, {}},
                                        {"big", DType::float32, Layout::ragged, {30000}}};
  const int status = under_file_limit(8 << 20, [&] {
    const auto file = ResultFile::create(folder / "out.h5", manifest, some_header());
    file->set_columns(columns);
    try {
      for (std::uint64_t first = 0; first < items; first += 4) {
        const SampleBatch batch(columns, first, 4);
        file->put(batch.result, 0);
        file->commit();
      }
    } catch (const Error& error) {
      return check_is_full(error);
    }
    return 1;
  });
  EXPECT_EQ(status, 0);
  const int good = good_rows_seen_by_a_child(folder / "out.h5.partial");
  EXPECT_GT(good, 8);
  EXPECT_LT(good, 90);
}

TEST(Faults, ADiskTooSmallForTheEndKeepsThePartialFile) {
  const Folder folder;
  const std::uint64_t items = 40;
  const auto manifest = some_manifest(folder, items);
  const std::vector<ColumnSpec> columns{{"scalar", DType::float32, Layout::fixed, {}},
                                        {"wide", DType::float32, Layout::fixed, {15000}},
                                        {"big", DType::float32, Layout::ragged, {30000}}};
  const int status = under_file_limit(8 << 20, [&] {
    const auto file = ResultFile::create(folder / "out.h5", manifest, some_header());
    file->set_columns(columns);
    const SampleBatch batch(columns, 0, 40); // 6.5 MB of `big` fit into the journal, but not beside 2.4 MB of `wide`
    file->put(batch.result, 0);
    try {
      file->finish(some_footer());
    } catch (const Error& error) {
      return check_is_full(error);
    }
    return 1;
  });
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(fs::exists(folder / "out.h5"));
  EXPECT_TRUE(fs::exists(folder / "out.h5.journal"));
  EXPECT_EQ(good_rows_seen_by_a_child(folder / "out.h5.partial"), 36); // 4 of 40 fail
}

} // namespace
} // namespace mgpu::agent::write::test
