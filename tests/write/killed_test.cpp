// Runs that are killed at any place, in processes of their own.
#include <sys/wait.h>

#include <csignal>
#include <functional>

#include "write/resume_rig.hpp"

namespace mgpu::write::test {
namespace {

/// Runs `work` in a child and kills it `microseconds` after it has said that it begins. False: it was done before.
bool kill_in(const std::function<void(const std::function<void()>& begins)>& work, std::uint64_t microseconds) {
  int ends[2];
  if (::pipe(ends) != 0) throw Error("pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      work([&] {
        if (::write(ends[1], "x", 1) != 1) ::_exit(3);
      });
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(2);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), 1);
  ::close(ends[0]);
  ::usleep(static_cast<useconds_t>(microseconds));
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

TEST_F(Resume, KilledAnywhere) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 12; ++trial) {
    kill_in(
        [&](const auto& begins) {
          const auto file = ResultFile::create(path, manifest, header);
          file->set_columns(all_columns());
          put_batches(*file, 2, 1);
          file->commit();
          begins();
          for (unsigned turn = 0; turn < 50; ++turn) put_batches(*file, batches, turn, 1);
          file->finish(some_footer());
        },
        random() % 20000);
    if (fs::exists(path + ".partial")) {
      EXPECT_GE(recovered_items(path), 2 * batch_size);
      finish_and_compare();
    }
    fs::remove(path);
  }
}

TEST_F(Resume, KilledWhileTheFileIsFinished) {
  std::mt19937 random(12);
  int killed = 0;
  for (int trial = 0; trial < 24; ++trial) {
    const bool complete = trial % 2 == 0;
    leave(complete ? batches : 20);
    killed += kill_in(
                  [&](const auto& begins) {
                    const auto file = ResultFile::resume(path, header);
                    begins();
                    file->finish(some_footer(complete));
                  },
                  random() % 8000)
                  ? 1
                  : 0;
    EXPECT_TRUE(!fs::exists(path + ".partial") || recovered_items(path) == (complete ? items : 20 * batch_size));
    if (fs::exists(path + ".partial") || !complete)
      finish_and_compare();
    else
      EXPECT_EQ(contents(ReadFile(path)), expected);
    fs::remove(path);
    ResultFile::discard(path);
  }
  EXPECT_GT(killed, 5);
}

TEST_F(Resume, KilledWhileColumnsAreMadeAfterABatchFailed) {
  std::mt19937 random(13);
  for (int trial = 0; trial < 10; ++trial) {
    const auto begin = [&](ResultFile& file) {
      wire::BatchResult failed;
      const std::vector<std::uint8_t> status(batch_size, static_cast<std::uint8_t>(Status::failed)), flags(batch_size);
      const std::vector<float> seconds(batch_size);
      failed.status = status;
      failed.flags = flags;
      failed.seconds = seconds;
      failed.errors.emplace_back(0, "no such file");
      file.put(failed, 0);
      file.commit();
    };
    kill_in(
        [&](const auto& begins) {
          const auto file = ResultFile::create(path, manifest, header);
          begin(*file);
          begins();
          file->set_columns(all_columns());
          put_batches(*file, 1, 1);
          file->commit();
        },
        random() % 4000);
    const auto file = ResultFile::resume(path, header);
    ASSERT_TRUE(file);
    EXPECT_TRUE(file->earlier().batches[0]);
    file->set_columns(all_columns());
    put_batches(*file, batches, 3);
    const SampleBatch first(all_columns(), 0, batch_size);
    file->put(first.result, 0);
    file->finish(some_footer());
    EXPECT_EQ(contents(ReadFile(path)), expected);
    fs::remove(path);
  }
}

} // namespace
} // namespace mgpu::write::test
