// Runs that are gone on with: what comes out must be what an undisturbed run gives; another run is refused.
#include <sys/resource.h>

#include <map>

#include "agent/write/resume_rig.hpp"

namespace mgpu::agent::write::test {
namespace {

TEST_F(Resume, GoesOnWhereARunEnded) {
  leave(12);
  {
    const auto file = ResultFile::resume(path, header);
    ASSERT_TRUE(file);
    const Earlier earlier = file->earlier();
    EXPECT_EQ(std::count(earlier.batches.begin(), earlier.batches.end(), true), 12);
    EXPECT_EQ(earlier.done, 12 * batch_size);
    EXPECT_EQ(earlier.resumes, 1);
    EXPECT_EQ(earlier.mistrusted, 0u);
    put_batches(*file, 9, 4, 1); // before the columns are announced again: they are known
  }
  {
    const auto file = ResultFile::resume(path, header);
    EXPECT_EQ(file->earlier().done, 21 * batch_size);
    EXPECT_EQ(file->earlier().resumes, 2);
  }
  finish_and_compare();
  const ReadFile file(path);
  EXPECT_EQ(file.number("resumes"), 3);
  EXPECT_EQ(file.text("started"), "2025-01-01T00:00:00Z");
  const auto ranks = file.item_numbers<std::int32_t>("rank", H5T_STD_I32LE, 0, items);
  for (std::uint64_t item = 0; item < items; ++item) EXPECT_EQ(ranks[item], static_cast<std::int32_t>(item / batch_size));
}

TEST_F(Resume, NothingLeftIsANewRun) {
  EXPECT_FALSE(ResultFile::resume(path, header));
  ResultFile::create(path, manifest, header)->finish(some_footer(false)); // stopped before its first result
  EXPECT_FALSE(ResultFile::resume(path, header));
  fs::remove(path);
  leave(0); // columns, but no batch
  EXPECT_FALSE(ResultFile::resume(path, header));
  std::ofstream(path + ".journal", std::ios::trunc) << "x";
  EXPECT_FALSE(ResultFile::resume(path, header));
}

TEST_F(Resume, AStoppedRunHasAReadableFileAndGoesOn) {
  for (int stop = 0; stop < 3; ++stop) {
    const auto file = stop == 0 ? ResultFile::create(path, manifest, header) : ResultFile::resume(path, header);
    file->set_columns(all_columns());
    put_batches(*file, 6, 5 + static_cast<unsigned>(stop));
    file->finish(some_footer(false));
    EXPECT_FALSE(fs::exists(path + ".partial"));
    const ReadFile read(path);
    EXPECT_FALSE(read.complete());
    const auto status = read.status();
    const auto numbers = read.numbers("fixed_int32");
    EXPECT_EQ(std::count(status.begin(), status.end(), Status::pending), static_cast<long>(items - (stop + 1) * 6 * batch_size));
    for (std::uint64_t item = 0; item < items; ++item) EXPECT_TRUE(status[item] == Status::ok || numbers[item * 6] == 0) << item;
  }
  finish_and_compare();
}

TEST_F(Resume, ATornOrDamagedTailCostsItsBatchesOnly) {
  std::mt19937 random(14);
  for (int trial = 0; trial < 16; ++trial) {
    leave(15);
    std::uint64_t tail = 0, batch_frames = 0;
    {
      Journal journal(path + ".journal", RawFile::Mode::read);
      Frame frame;
      for (std::uint64_t at = 0; journal.find(at, frame);)
        if (frame.kind() == FrameKind::batch && ++batch_frames == 11) tail = frame.header().at;
    }
    const std::uint64_t size = fs::file_size(path + ".journal"), place = tail + random() % (size - tail);
    if (trial % 2 == 0) {
      fs::resize_file(path + ".journal", place);
    } else {
      RawFile file(path + ".journal", RawFile::Mode::modify);
      std::byte byte;
      file.read_at(place, &byte, 1);
      byte ^= std::byte{1} << (random() % 8);
      file.write_at(place, wire::View(&byte, 1));
    }
    {
      const auto file = ResultFile::resume(path, header);
      ASSERT_TRUE(file);
      EXPECT_GE(file->earlier().done, (trial % 2 == 0 ? 10 : 14) * batch_size);
    }
    finish_and_compare();
    fs::remove(path);
  }
}

TEST_F(Resume, RowsThatNeverReachedTheDiskAreDoneAgain) {
  leave(10);
  // The last group's rows are zeroed, as after a power cut between the two files.
  std::uint64_t offset = 0, last = 0;
  {
    const ReadFile file(path + ".partial");
    offset = *h5::offset_of(h5::open_dataset(h5::open_group(file.file(), "results"), "fixed_float64"));
    Journal journal(path + ".journal", RawFile::Mode::read);
    Frame frame;
    for (std::uint64_t at = 0; journal.find(at, frame);)
      if (frame.kind() == FrameKind::batch) last = wire::decode_batch_result(frame.payload()).first;
  }
  const std::vector<std::byte> zeros(48);
  RawFile(path + ".partial", RawFile::Mode::modify).write_at(offset + (last + 1) * 48, wire::View(zeros));
  {
    const auto file = ResultFile::resume(path, header);
    EXPECT_EQ(file->earlier().done, 9 * batch_size);
    EXPECT_EQ(file->earlier().mistrusted, batch_size);
    // This run, too, dies, after it has put others on the disk.
    file->set_columns(all_columns());
    put_batches(*file, 6, 8);
  }
  EXPECT_FALSE(ResultFile::resume(path, header)->earlier().batches[last / batch_size]) << "its rows are still wrong";
  finish_and_compare();
}

TEST_F(Resume, AllRowsAreComparedWhenAsked) {
  leave(10);
  std::uint64_t offset = 0, first = 0;
  {
    const ReadFile file(path + ".partial");
    offset = *h5::offset_of(h5::open_dataset(h5::open_group(file.file(), "results"), "scalar"));
    Journal journal(path + ".journal", RawFile::Mode::read);
    Frame frame;
    for (std::uint64_t at = 0; journal.find(at, frame);)
      if (frame.kind() == FrameKind::batch) {
        first = wire::decode_batch_result(frame.payload()).first;
        break;
      }
  }
  const std::uint64_t ok_item = fails(first) ? first + 1 : first;
  const std::vector<std::byte> damage(4, std::byte{0x7A});
  RawFile(path + ".partial", RawFile::Mode::modify).write_at(offset + ok_item * 4, wire::View(damage));
  EXPECT_EQ(ResultFile::resume(path, header)->earlier().mistrusted, 0u) << "was on the disk long ago";
  std::ostringstream said;
  recover(path, said);
  EXPECT_THAT(said.str(), HasSubstr("not what the journal says"));
  EXPECT_EQ(ResultFile::resume(path, header, true)->earlier().mistrusted, batch_size);
  EXPECT_EQ(ResultFile::resume(path, header, true)->earlier().mistrusted, 0u) << "known by now";
}

TEST_F(Resume, ALongReadingIsToldOfAndCanBeCalledOff) {
  leave(10);
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>, std::less<>> seen; // done and total, the last time
  EXPECT_TRUE(ResultFile::resume(path, header, true, [&](std::string_view what, std::uint64_t done, std::uint64_t total) {
    EXPECT_GT(done, seen[std::string(what)].first);
    EXPECT_LE(done, total);
    seen[std::string(what)] = {done, total};
  }));
  ASSERT_EQ(seen.size(), 2u);
  for (const std::string& what : {path + ".journal", path + ".partial"}) EXPECT_EQ(seen[what].first, seen[what].second) << what;
  EXPECT_THROW(ResultFile::resume(path, header, true, [](auto&&...) { throw Error("enough"); }), Error);
  finish_and_compare();
}

TEST_F(Resume, BatchesDoneInPartAreDoneAgain) {
  {
    const auto file = ResultFile::create(path, manifest, header);
    file->set_columns(all_columns());
    const SampleBatch half(all_columns(), batch_size, 3), whole(all_columns(), 0, batch_size);
    file->put(half.result, 0);
    file->put(whole.result, 0);
  }
  // Never committed, so nothing is there; now with a commit.
  EXPECT_FALSE(ResultFile::resume(path, header));
  {
    const auto file = ResultFile::create(path, manifest, header);
    file->set_columns(all_columns());
    const SampleBatch half(all_columns(), batch_size, 3), whole(all_columns(), 0, batch_size);
    file->put(half.result, 0);
    file->put(whole.result, 0);
    file->commit();
  }
  {
    const auto file = ResultFile::resume(path, header);
    EXPECT_EQ(file->earlier().done, batch_size);
    EXPECT_FALSE(file->earlier().batches[1]);
  }
  finish_and_compare();
}

TEST_F(Resume, AnotherRunIsRefusedWithTheDifference) {
  leave(3);
  const Header same = header;
  EXPECT_EQ(refusal(), "");
  header.identity->options["mean"] = "0.4";
  EXPECT_THAT(refusal(), HasSubstr("--mean: 0.5 then, 0.4 now"));
  header = same;
  header.identity->options["new"] = 1;
  header.identity->options.erase("topk");
  EXPECT_THAT(refusal(), HasSubstr("--new: no such option then, 1 now"));
  EXPECT_THAT(refusal(), HasSubstr("--topk: 3 then, no such option now"));
  EXPECT_THAT(refusal(), Not(HasSubstr("mean")));
  header = same;
  header.identity->batch_size = 8;
  EXPECT_THAT(refusal(), HasSubstr("--batch-size: 7 then, 8 now"));
  header = same;
  header.identity->device_kind = "cuda";
  EXPECT_THAT(refusal(), HasSubstr("device: cpu then, cuda now"));
  header = same;
  header.identity->items = 204;
  EXPECT_THAT(refusal(), HasSubstr("--input: 203 items then, 204 now"));
  header = same;
  header.identity->manifest_sha256 = sha256_of(some_manifest(folder, 7));
  EXPECT_THAT(refusal(), HasSubstr("paths or columns"));
  header = same;
  header.identity->model_state = "5 bytes of 2";
  EXPECT_THAT(refusal(), HasSubstr("--model: model.pt of 4 bytes of 1 then"));
  header = same;
  EXPECT_EQ(refusal(), "");
}

TEST_F(Resume, AModelIsKnownByItsHash) {
  leave(3);
  {
    const auto file = ResultFile::resume(path, header);
    file->set_model_sha256("aaaa");
    file->commit();
  }
  header.identity->model_state = "moved elsewhere";
  header.identity->model_sha256 = "aaaa";
  EXPECT_EQ(refusal(), "");
  header.identity->model_sha256 = "bbbb";
  EXPECT_THAT(refusal(), HasSubstr("--model: model.pt with SHA-256 aaaa"));
}

TEST_F(Resume, OtherColumnsAreRefused) {
  leave(3);
  const auto file = ResultFile::resume(path, header);
  try {
    file->set_columns({{"x", DType::float32, Layout::fixed, {2}}});
    ADD_FAILURE() << "took them";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
  }
}

TEST_F(Resume, WhatIsMissingIsSaid) {
  leave(3);
  fs::rename(path + ".partial", folder / "aside");
  EXPECT_THAT(refusal(), HasSubstr("is gone"));
  fs::copy_file(folder / "whole.h5", path + ".partial");
  EXPECT_THAT(refusal(), HasSubstr("another run"));
  fs::remove(path + ".partial");
  fs::remove(path + ".journal");
  std::ofstream(path) << "x";
  EXPECT_THAT(refusal(), HasSubstr("is not there to be resumed"));
}

TEST_F(Resume, ARunThatIsStillWritingIsNotTouched) {
  leave(3);
  const auto file = ResultFile::resume(path, header);
  EXPECT_THAT(refusal(), HasSubstr("another run is writing it now"));
  std::ostringstream said;
  EXPECT_THROW(recover(path, said), Error);
}

TEST_F(Resume, RecoverLeavesEverythingAsItWas) {
  leave(5);
  const auto bytes_of = [](const std::string& name) {
    std::ifstream in(name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string partial = bytes_of(path + ".partial"), journal = bytes_of(path + ".journal");
  EXPECT_EQ(recovered_items(path), 5 * batch_size);
  EXPECT_EQ(recovered_items(path), 5 * batch_size) << "a second time";
  EXPECT_TRUE(bytes_of(path + ".partial") == partial);
  EXPECT_TRUE(bytes_of(path + ".journal") == journal);
  finish_and_compare();
  EXPECT_THAT(recovered(path), HasSubstr("can be read as it is (complete)"));
  EXPECT_THAT(recovered(folder / "nothing.h5"), HasSubstr("no run left anything beside it"));
}

TEST_F(Resume, RecoverSaysWhatToDoBeforeThereIsAnyResult) {
  std::ofstream(path + ".journal").close(); // killed right after it was made
  EXPECT_THAT(recovered(path), HasSubstr("before it had any result; the same command with --resume"));
  std::ofstream(path + ".partial") << "\x89HDF"; // killed while HDF5 began the file
  EXPECT_THAT(recovered(path), HasSubstr("before it had any result; the same command with --resume"));
  ResultFile::discard(path);
  leave(0);
  EXPECT_THAT(recovered(path), HasSubstr("before it had any result; the same command with --resume"));
  EXPECT_TRUE(fs::exists(path + ".partial") && fs::exists(path + ".journal"));
}

TEST_F(Resume, RecoverSaysWhatIsGone) {
  leave(3);
  fs::rename(path + ".journal", folder / "kept");
  EXPECT_THAT(recovered(path), HasSubstr("out.h5.journal', which says what is done, is gone; --overwrite"));
  fs::rename(folder / "kept", path + ".journal");
  fs::remove(path + ".partial");
  EXPECT_THAT(recovered(path), HasSubstr("out.h5.partial' is gone, and the results with it; --overwrite"));
}

TEST_F(Resume, RecoverClearsWhatAWholeFileHasBesideIt) {
  leave(batches);
  fs::copy_file(path + ".journal", folder / "kept");
  ResultFile::resume(path, header)->finish(some_footer());
  fs::copy_file(folder / "kept", path + ".journal"); // killed after the rename
  std::ofstream(path + ".recovering") << "x";
  EXPECT_THAT(recovered(path), HasSubstr("is removed"));
  EXPECT_FALSE(fs::exists(path + ".journal") || fs::exists(path + ".recovering"));
  EXPECT_EQ(contents(ReadFile(path)), expected);

  fs::copy_file(folder / "kept", folder / "other.h5.journal"); // not the other file's own
  fs::copy_file(folder / "whole.h5", folder / "other.h5");
  EXPECT_THAT(recovered(folder / "other.h5"), HasSubstr("(complete)"));
  EXPECT_TRUE(fs::exists(folder / "other.h5.journal"));
}

TEST_F(Resume, RecoverLeavesAStoppedRunsFileAndSaysHowItGoesOn) {
  leave(4);
  ResultFile::resume(path, header)->finish(some_footer(false));
  EXPECT_THAT(recovered(path), HasSubstr("--resume continues it"));
  fs::remove(path + ".journal");
  EXPECT_THAT(recovered(path), HasSubstr("its journal is gone"));
}

TEST_F(Resume, ATrainingKilledAtItsEndIsSentToItsCheckpoints) {
  header.identity.reset();
  {
    const auto file = ResultFile::create(path, manifest, header);
    file->set_columns({});
    file->commit();
  }
  EXPECT_THAT(recovered(path), HasSubstr("--resume continues from its last checkpoint"));
}

TEST_F(Resume, ARecoverThatFailsLeavesNothingOfItsOwn) {
  leave(5);
  const auto size = fs::file_size(path + ".partial");
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{size / 2, size / 2};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    ::_exit(recovered(path).find("more are needed") == std::string::npos ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_FALSE(fs::exists(path + ".recovering") || fs::exists(path));
  EXPECT_EQ(recovered_items(path), 5 * batch_size);
}

TEST_F(Resume, BatchesOfNothingAreRefused) {
  header.identity->batch_size = 0;
  leave(5);
  EXPECT_THAT(refusal(), HasSubstr("batches of 0 items"));
  std::ostringstream out;
  EXPECT_THROW(recover(path, out), Error);
}

} // namespace
} // namespace mgpu::agent::write::test
