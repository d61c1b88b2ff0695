// What `merge` refuses: it never makes a file of which a row is wrong, missing or of another run.
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/raw_file.hpp"
#include "agent/write/merge_rig.hpp"

namespace mgpu::agent::write::test {
namespace {

using testing::AllOf;

struct MergeRefused : MergeTest {
  std::vector<std::string> parts = make_all(3);

  /// A second shard whose run differs from the others' in what `change` does.
  std::string refused_with(const std::function<void(Header&)>& change) {
    Header header = header_of({2, 3});
    change(header);
    return refused({parts[0], make(2, 3, "other.h5", &header), parts[2]});
  }
  template <typename T>
  void put(const std::string& file, const std::string& dataset, std::uint64_t row, const T& value, const h5::Id& type) const {
    h5::Id opened = h5::open_file(file, true);
    h5::write_rows(h5::open_dataset(opened, dataset), type, row, 1, &value);
    opened.close();
  }
};

TEST_F(MergeRefused, MissingShardsAreNamed) {
  EXPECT_THAT(refused({parts[0], parts[2]}), HasSubstr("1 of 3 shards are missing: 2/3; give their files, too"));
  EXPECT_THAT(refused({parts[1]}), HasSubstr("2 of 3 shards are missing: 1/3, 3/3"));
  EXPECT_THAT(refused({make(3, 29)}),
              AllOf(HasSubstr("28 of 29 shards are missing: 1/29, 2/29, 4/29"), HasSubstr("and 18 more")));
  EXPECT_THAT(refused({parts[0], folder / "none.h5", parts[2]}), HasSubstr("no such file"));
}

TEST_F(MergeRefused, DoubledShardsAreNamed) {
  const std::string copy = folder / "copy.h5";
  fs::copy(parts[1], copy);
  EXPECT_THAT(refused({parts[0], parts[1], copy, parts[2]}),
              AllOf(HasSubstr("part2.h5"), HasSubstr("copy.h5"), HasSubstr("are both shard 2/3")));
  EXPECT_THAT(refused({parts[0], parts[1], parts[2], parts[0]}), HasSubstr("are both shard 1/3"));
}

TEST_F(MergeRefused, ShardsOfAnotherCutAreNamed) {
  EXPECT_THAT(refused({parts[0], parts[1], make(3, 4, "quarter.h5")}), HasSubstr("--shard: 1/3 in"));
}

TEST_F(MergeRefused, ShardsOfAnotherRunAreNamedWithTheDifference) {
  EXPECT_THAT(refused_with([](Header& header) { header.identity->options["topk"] = 5; }),
              AllOf(HasSubstr("part1.h5"), HasSubstr("other.h5"), HasSubstr("not shards of one run"), HasSubstr("--topk: 3 in"),
                    HasSubstr("5 in")));
  EXPECT_THAT(refused_with([](Header& header) { header.identity->device_kind = "cuda"; }), HasSubstr("device: cpu in"));
  EXPECT_THAT(refused_with([](Header& header) { header.identity->version = "0.2.0"; }),
              HasSubstr("version of mgpu_run: 0.1.0 in"));
  EXPECT_THAT(refused_with([](Header& header) { header.identity->job = "edit"; }), HasSubstr("job: infer in"));
  EXPECT_THAT(refused_with([](Header& header) { header.identity->shard->all_manifest_sha256 = "other"; }),
              HasSubstr("--input: the paths or columns of its 203 items are not the same"));
  EXPECT_THAT(refused_with([](Header& header) { header.identity->shard.reset(); }), HasSubstr("is no shard"));
  EXPECT_THAT(refused_with([](Header& header) { header.identity.reset(); }), HasSubstr("does not say of which run it is"));
  EXPECT_THAT(refused({parts[0], folder / "whole.h5"}), HasSubstr("whole.h5': is no shard: its run had no --shard I/N"));
}

TEST_F(MergeRefused, ShardsOfAnotherModelAreNamed) {
  Footer footer = some_footer();
  footer.model_sha256 = "def";
  const std::string other = folder / "model.h5";
  const auto file = ResultFile::create(other, manifest.part(70, 70), header_of({2, 3}));
  file->set_columns(all_columns());
  for (std::uint64_t batch = 0; batch < 10; ++batch) {
    const SampleBatch sample(all_columns(), 70 + batch * batch_size, batch_size, batch);
    wire::BatchResult result = sample.result;
    result.first -= 70;
    file->put(result, 0);
  }
  file->finish(footer);
  EXPECT_THAT(refused({parts[0], other, parts[2]}),
              AllOf(HasSubstr("--model: model.pt with SHA-256 abc… in"), HasSubstr("def… in")));
}

TEST_F(MergeRefused, ACutThatIsNotItsNumbersIsNotTrusted) {
  EXPECT_THAT(refused_with([](Header& header) { header.identity->shard->first = 63; }), HasSubstr("has items 70 to 140"));
  EXPECT_THAT(refused_with([](Header& header) { header.identity->batch_size = 70; }), HasSubstr("--batch-size: 7 in"));
  EXPECT_THAT(refused_with([](Header& header) { header.identity->batch_size = 0; }), HasSubstr("damaged"));
  EXPECT_THAT(refused_with([](Header& header) { header.identity->shard->shard.index = 0; }), HasSubstr("damaged"));
}

TEST_F(MergeRefused, AnUnfinishedShardIsNamedWithTheLineThatFinishesIt) {
  const std::string half = make(2, 3, "half.h5", nullptr, false);
  EXPECT_THAT(refused({parts[0], half, parts[2]}),
              AllOf(HasSubstr("half.h5"), HasSubstr("shard 2/3 is not complete, 7 of its 70 items are pending"),
                    HasSubstr("mpirun -np 3 mgpu_run infer --input x --shard 2/3 --resume")));
  std::ofstream(parts[1] + ".partial") << "of a later run";
  EXPECT_THAT(refused(parts), AllOf(HasSubstr("a later run of shard 2/3 is not complete"), HasSubstr(".partial")));
}

TEST_F(MergeRefused, ADamagedRowIsNamed) {
  put(parts[1], "results/scalar", 8, 0.5F, h5::type_of(DType::float32));
  EXPECT_THAT(refused(parts, ExitCode::failed),
              AllOf(HasSubstr("part2.h5"), HasSubstr("row 8 ("), HasSubstr("its results are not what its worker sent"),
                    HasSubstr("--retry-failed --verify")));
}

TEST_F(MergeRefused, ARowThatCannotBeReadIsNamed) {
  put(parts[2], "results/codes/offsets", 6, ~std::uint64_t{0}, h5::copy(H5T_STD_U64LE));
  EXPECT_THAT(refused(parts, ExitCode::failed), AllOf(HasSubstr("part3.h5"), HasSubstr("row 5 ("), HasSubstr("cannot be read")));
}

TEST_F(MergeRefused, AReasonOrAStatusThatWasChangedIsNamed) {
  const char* text = "another reason";
  put(parts[0], "items/error", 3, text, h5::utf8_string());
  EXPECT_THAT(refused(parts, ExitCode::failed), AllOf(HasSubstr("row 3 ("), HasSubstr("reason")));
  fs::remove(parts[0]);
  make(1, 3);
  put<std::uint8_t>(parts[0], "items/status", 3, 0, h5::status_type());
  EXPECT_THAT(refused(parts, ExitCode::failed),
              AllOf(HasSubstr("row 3 ("), HasSubstr("it has no result, though its run is complete")));
}

TEST_F(MergeRefused, AListThatWasChangedIsFound) {
  const char* text = "/another/path";
  put(parts[1], "items/path", 5, text, h5::utf8_string());
  EXPECT_THAT(refused(parts, ExitCode::failed), HasSubstr("the list of items in the shards"));
}

TEST_F(MergeRefused, AResultThatAUserAddedIsNotTakenForTheRuns) {
  {
    const h5::Id file = h5::open_file(parts[1], true);
    h5::create_contiguous(h5::open_group(file, "results"), "mine", h5::type_of(DType::float32), {70});
    h5::create_group(file, "notes");
  }
  EXPECT_THAT(refused(parts), HasSubstr("results were added to it or removed"));
  h5::Id file = h5::open_file(parts[1], true);
  ASSERT_GE(H5Ldelete(file.get(), "results/mine", H5P_DEFAULT), 0);
  file.close();
  merged(parts);
  EXPECT_THAT(said, HasSubstr("/'notes' is not of its run and is not taken over"));
}

TEST_F(MergeRefused, AnOutputThatIsThereIsKeptUnlessToldOtherwise) {
  std::ofstream(path) << "precious";
  EXPECT_THROW(merged(parts), Error);
  EXPECT_EQ(fs::file_size(path), 8U);
  merged(parts, true);
  EXPECT_EQ(contents(ReadFile(path)), expected);
  // An unfinished run beside it would be taken for a later one.
  std::ofstream(path + ".partial") << "rows";
  std::ofstream(path + ".journal") << "";
  fs::remove(path);
  EXPECT_THAT(refused(parts), AllOf(HasSubstr(".partial"), HasSubstr("--overwrite replaces it")));
  merged(parts, true);
  EXPECT_FALSE(fs::exists(path + ".partial") || fs::exists(path + ".journal"));
}

TEST_F(MergeRefused, NoShardIsTheOutput) {
  const auto onto = [&](const std::string& output) {
    std::ostringstream out;
    try {
      merge(parts, output, true, "", out);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(onto(parts[1]), HasSubstr("is one of the shards"));
  fs::create_symlink(parts[2], folder / "link.h5");
  EXPECT_THAT(onto(folder / "link.h5"), HasSubstr("is one of the shards"));
  EXPECT_EQ(ReadFile(parts[1]).size(), 70U);
  EXPECT_THAT(onto(folder / "nowhere/all.h5"), HasSubstr("there is no folder"));
}

TEST_F(MergeRefused, AnOutputThatARunIsWritingIsRefused) {
  const ResultFile::Lock lock = ResultFile::check(path, Existing::refuse);
  EXPECT_THAT(refused(parts), HasSubstr("another run is writing it now"));
}

TEST_F(MergeRefused, AFullDiskLeavesNothing) {
  for (const double share : {0.01, 0.5, 0.9}) {
    const pid_t child = ::fork(); // a limit cannot be taken back
    if (child == 0) {
      std::uint64_t bytes = 0;
      for (const std::string& part : parts) bytes += fs::file_size(part);
      const auto limit = static_cast<rlim_t>(share * static_cast<double>(bytes));
      const rlimit size{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &size);
      std::ostringstream out;
      try {
        merge(parts, path, false, "", out);
      } catch (const Error& error) {
        ::_exit(error.code() == ExitCode::stopped && std::string(error.what()).find("no room to write") != std::string::npos ? 0
                                                                                                                             : 2);
      }
      ::_exit(1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << share;
    EXPECT_FALSE(fs::exists(path) || fs::exists(path + ".merging"));
  }
  merged(parts);
  EXPECT_EQ(contents(ReadFile(path)), expected);
}

TEST_F(MergeRefused, WhatAKilledMergeLeftIsReplaced) {
  std::ofstream(path + ".merging") << "half a file";
  merged(parts);
  EXPECT_FALSE(fs::exists(path + ".merging"));
}

} // namespace
} // namespace mgpu::agent::write::test
