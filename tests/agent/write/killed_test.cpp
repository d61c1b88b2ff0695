// Runs that are killed at any place, in processes of their own.
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "agent/write/hdf5/writer.hpp"
#include "agent/write/resume_rig.hpp"
#include "common/support/clock.hpp"
#include "common/wire/encoded_block.hpp"

namespace mgpu::agent::write::test {
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

/// When each item was handed to the writer, in memory that outlives the child; 0: never.
struct Times {
  static constexpr std::size_t most = 4000;
  Times()
      : at(static_cast<std::atomic<double>*>(
            ::mmap(nullptr, most * sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~Times() { ::munmap(at, most * sizeof(double)); }
  Times(const Times&) = delete;
  Times& operator=(const Times&) = delete;
  std::atomic<double>* at;
};

/// Hands an item to the writer about every 0.3 ms, for ever.
void write_for_ever(const std::string& path, const manifest::Manifest& manifest, const std::vector<ColumnSpec>& columns,
                    Times& times, const std::function<void()>& begins) {
  Header header = resumable_header(manifest);
  header.identity->batch_size = 1;
  Writer writer(ResultFile::create(path, manifest, header));
  writer.set_columns(columns);
  for (std::uint64_t item = 0; item < manifest.size(); ++item) {
    const SampleBatch batch(columns, item, 1, item);
    const wire::Block block = wire::make_block(batch.result);
    times.at[item] = now_s();
    writer.put(Block{0, block.bytes, block.owner});
    if (item == 20) begins();
    ::usleep(300);
  }
  for (;;) ::pause();
}

/// After a kill at any moment `recover` gives a readable file that misses at most the last 100 ms, and the time the disk takes. MGPU_KILLS=200
/// for the figure in docs/reliability.md.
TEST(Killed, LosesAtMostTheLastTenthOfASecond) {
  const char* wanted = std::getenv("MGPU_KILLS");
  const int kills = wanted == nullptr ? 6 : std::atoi(wanted);
  constexpr double commit_s = 0.1, slow_disk_s = 2; // of a machine that does much else
  std::mt19937 random(15);
  std::vector<double> lost_s;
  for (int trial = 0; trial < kills; ++trial) {
    const Folder folder;
    const auto manifest = some_manifest(folder, 4000);
    const std::vector<ColumnSpec> columns{{"scalar", DType::float32, Layout::fixed, {}},
                                          {"text", DType::uint8, Layout::text, {}}};
    const std::string path = folder / "out.h5";
    Times times;
    kill_in([&](const auto& begins) { write_for_ever(path, manifest, columns, times, begins); }, 150'000 + random() % 300'000);
    const double killed_s = now_s();
    std::ostringstream said;
    recover(path, said);
    ASSERT_TRUE(readable(path)) << said.str();
    const auto status = ReadFile(path).status();
    double oldest_s = killed_s; // of those that were handed over and are not there
    for (std::uint64_t item = 0; item < manifest.size(); ++item)
      if (times.at[item] > 0 && status[item] == Status::pending) oldest_s = std::min(oldest_s, times.at[item].load());
    lost_s.push_back(killed_s - oldest_s);
    EXPECT_LT(lost_s.back(), commit_s + slow_disk_s);
  }
  std::sort(lost_s.begin(), lost_s.end());
  const auto above = std::count_if(lost_s.begin(), lost_s.end(), [](double seconds) { return seconds > 0.1; });
  std::printf("%d kills: all readable; lost %.0f ms in the median, %.0f ms at most, more than 100 ms in %d\n", kills,
              1000 * lost_s[lost_s.size() / 2], 1000 * lost_s.back(), static_cast<int>(above));
}

} // namespace
} // namespace mgpu::agent::write::test
