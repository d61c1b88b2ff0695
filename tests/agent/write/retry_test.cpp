// --retry-failed: what is kept, what is done again, and what is refused.
#include <csignal>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/resume_rig.hpp"

namespace mgpu::agent::write::test {
namespace {

/// Puts batches as the machine was at first: every item for which `ill` holds failed.
void put_ill(ResultFile& file, const std::function<bool(std::uint64_t)>& ill, std::uint64_t count = batches) {
  for (std::uint64_t batch = 0; batch < count; ++batch) {
    SampleBatch sample(all_columns(), batch * batch_size, std::min(batch_size, items - batch * batch_size), batch);
    std::vector<std::string> reasons(sample.status.size(), "the share is away");
    for (std::size_t row = 0; row < sample.status.size(); ++row) {
      if (!ill(batch * batch_size + row) || sample.status[row] == 2) continue;
      sample.status[row] = 2;
      sample.crcs[row] = 0;
      sample.result.errors.emplace_back(static_cast<std::uint32_t>(row), reasons[row]);
    }
    if (std::all_of(sample.status.begin(), sample.status.end(), [](auto status) { return status == 2; }))
      sample.result.columns.clear(); // as agents send them
    file.put(sample.result, static_cast<std::int32_t>(batch));
  }
}

struct Retry : Resume {
  /// Batches 4 to 9 failed as a whole.
  static bool share_was_away(std::uint64_t item) { return item / batch_size >= 4 && item / batch_size < 10; }
  void write_ill(bool complete) {
    const auto file = ResultFile::create(path, manifest, header);
    file->set_columns(all_columns());
    put_ill(*file, share_was_away, complete ? batches : 20);
    file->commit();
    if (complete) file->finish(some_footer());
  }
  std::unique_ptr<ResultFile> retry(bool verify = false) { return ResultFile::retry(path, manifest, header, verify); }
  /// Batches whose rows of the sample fail by themselves are among those to be done again.
  static std::uint64_t to_do(std::uint64_t of) {
    std::uint64_t count = 0;
    for (std::uint64_t batch = 0; batch < of; ++batch) {
      bool again = share_was_away(batch * batch_size);
      for (std::uint64_t item = batch * batch_size; item < std::min(items, (batch + 1) * batch_size); ++item)
        again |= fails(item);
      count += again ? 1 : 0;
    }
    return count;
  }
  static std::uint64_t pending(const Earlier& earlier) {
    return static_cast<std::uint64_t>(std::count(earlier.batches.begin(), earlier.batches.end(), false));
  }
  void finish(ResultFile& file) {
    file.set_columns(all_columns());
    put_batches(file, batches, 3);
    file.finish(some_footer());
    EXPECT_EQ(contents(ReadFile(path)), expected);
    EXPECT_TRUE(ReadFile(path).complete());
    EXPECT_FALSE(fs::exists(path + ".journal"));
    EXPECT_FALSE(fs::exists(path + ".partial"));
    std::ostringstream out;
    EXPECT_TRUE(verify(path, out)) << out.str();
  }
};

TEST_F(Retry, OfACompleteFile) {
  write_ill(true);
  const auto file = retry();
  ASSERT_TRUE(file);
  const Earlier earlier = file->earlier();
  EXPECT_EQ(earlier.failed, 0U);
  EXPECT_EQ(pending(earlier), to_do(batches));
  EXPECT_EQ(earlier.resumes, 1);
  EXPECT_TRUE(ReadFile(path).complete()) << "the earlier file stays until the new one is complete";
  finish(*file);
  // What was kept says who did it then.
  const ReadFile now(path);
  EXPECT_EQ(now.item_numbers<std::int32_t>("rank", H5T_STD_I32LE, 10 * batch_size + 20, 1).at(0), 12);
  EXPECT_EQ(now.number("resumes"), 1);
}

TEST_F(Retry, OfARunThatIsNotComplete) {
  write_ill(false);
  const auto file = retry();
  ASSERT_TRUE(file);
  EXPECT_EQ(pending(file->earlier()), to_do(20) + 9);
  finish(*file);
}

TEST_F(Retry, KilledAndGoneOnWith) {
  write_ill(true);
  {
    const auto file = retry();
    file->set_columns(all_columns());
    put_batches(*file, 2, 5);
    file->commit();
  }
  EXPECT_TRUE(ReadFile(path).complete());
  std::uint64_t left = 0;
  {
    const auto file = ResultFile::resume(path, header);
    ASSERT_TRUE(file) << "--resume continues it, too";
    left = pending(file->earlier());
    EXPECT_EQ(left, to_do(batches) - 2);
  }
  const auto file = retry();
  EXPECT_LE(pending(file->earlier()), left + 2) << "two of them may have failed again";
  finish(*file);
}

TEST_F(Retry, KilledBeforeItHadAnything) {
  write_ill(true);
  { ResultFile::create(folder / "other.h5", manifest, header); }
  fs::rename(folder / "other.h5.partial", path + ".partial");
  fs::rename(folder / "other.h5.journal", path + ".journal");
  finish(*retry());
}

TEST_F(Retry, RowsThatAreNotWhatTheirWorkerSent) {
  write_ill(true);
  {
    h5::Id file = h5::open_file(path, true);
    const float other = -1;
    h5::write_rows(h5::open_dataset(file, "results/scalar"), h5::type_of(DType::float32), 28 * batch_size, 1, &other);
    file.close();
  }
  ASSERT_FALSE(fails(28 * batch_size));
  const auto file = retry();
  EXPECT_FALSE(file->earlier().batches[28]);
  finish(*file);
}

TEST_F(Retry, OfAnotherRunIsRefused) {
  write_ill(true);
  header.identity->options["mean"] = "0.4";
  header.identity->device_kind = "cuda";
  try {
    retry();
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), HasSubstr("--mean: 0.5 then, 0.4 now"));
    EXPECT_THAT(error.what(), HasSubstr("device: cpu then, cuda now"));
  }
  EXPECT_TRUE(ReadFile(path).complete());
  EXPECT_FALSE(fs::exists(path + ".journal"));
}

TEST_F(Retry, WhereEveryRowFailed) {
  {
    const auto file = ResultFile::create(path, manifest, header);
    put_ill(*file, [](std::uint64_t) { return true; });
    file->finish(some_footer());
  }
  const auto file = retry();
  EXPECT_EQ(file->earlier().done, 0U);
  finish(*file);
}

TEST_F(Retry, AFileSizeLimitDoesNotEndTheProcess) {
  write_ill(true);
  std::signal(SIGXFSZ, SIG_DFL);
  const auto file = retry();
  EXPECT_EQ(std::signal(SIGXFSZ, SIG_IGN), SIG_IGN);
}

TEST_F(Retry, OfNothing) {
  EXPECT_FALSE(retry());
}

} // namespace
} // namespace mgpu::agent::write::test
