// What one run may do to the files of another, and what a disk that fails may do to both.
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>

#include "agent/write/resume_rig.hpp"

namespace {
std::atomic<int> syncs_until_failure{0}; ///< 0: none fails
}

/// In the place of the C library's: the disk fails at the sync that is asked for, and says so once, as Linux does.
extern "C" int fdatasync(int fd) {
  if (syncs_until_failure > 0 && --syncs_until_failure == 0) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

namespace mgpu::agent::write::test {
namespace {

template <typename Work>
Error error_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  return Error("", ExitCode::ok);
}

std::uint64_t done_in(const std::string& path, const Header& header) {
  const auto file = ResultFile::resume(path, header);
  return file ? file->earlier().done : 0;
}

TEST_F(Resume, ARunWhoseFilesAnotherTookWritesNothing) {
  const auto first = ResultFile::create(path, manifest, header);
  first->set_columns(all_columns());
  put_batches(*first, batches, 1);
  // Somebody removes the lock by hand, and begins anew.
  for (const char* name : {".lock", ".journal", ".partial"}) fs::remove(path + name);
  const auto second = ResultFile::create(path, manifest, header);
  second->set_columns(all_columns());
  EXPECT_THAT(error_of([&] { first->finish(some_footer()); }).what(), HasSubstr("removed or replaced"));
  EXPECT_FALSE(fs::exists(path));
  put_batches(*second, batches, 4);
  second->finish(some_footer());
  EXPECT_EQ(contents(ReadFile(path)), expected);
}

TEST_F(Resume, FilesThatWereReplacedUnderTheLockAreNotFinished) {
  const auto first = ResultFile::create(path, manifest, header);
  first->set_columns(all_columns());
  put_batches(*first, batches, 1);
  fs::rename(path + ".partial", folder / "aside");
  fs::copy_file(folder / "aside", path + ".partial");
  EXPECT_THAT(error_of([&] { first->finish(some_footer()); }).what(), HasSubstr("removed or replaced"));
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(Resume, AFileWithPendingRowsIsNeverComplete) {
  {
    const auto file = ResultFile::create(path, manifest, header);
    file->set_columns(all_columns());
    put_batches(*file, 5, 1);
    EXPECT_THAT(error_of([&] { file->finish(some_footer(true)); }).what(), HasSubstr("have no result"));
  }
  EXPECT_FALSE(fs::exists(path));
  finish_and_compare();
}

TEST_F(Resume, RowsWithoutTheirJournalAreKept) {
  leave(3);
  fs::rename(path + ".journal", folder / "journal");
  EXPECT_THAT(refusal(), HasSubstr("is gone"));
  EXPECT_TRUE(fs::exists(path + ".partial"));
  // An empty one tells nothing of a run that may have been killed at its very beginning: it begins anew, and the rows stay.
  std::ofstream(path + ".journal");
  EXPECT_FALSE(ResultFile::resume(path, header));
  {
    const auto file = ResultFile::create(path, manifest, header);
    EXPECT_EQ(file->earlier().set_aside, path + ".partial.old");
  }
  ResultFile::discard(path);
  fs::rename(folder / "journal", path + ".journal");
  finish_and_compare();
}

TEST_F(Resume, OverwriteKeepsTheRunBeforeUntilItIsComplete) {
  leave(3);
  {
    const auto file = ResultFile::create(path, manifest, header);
    EXPECT_EQ(file->earlier().set_aside, path + ".partial.old");
  }
  { // killed before its first result, and again
    const auto file = ResultFile::create(path, manifest, header);
    EXPECT_EQ(file->earlier().set_aside, "");
  }
  ResultFile::discard(path); // its model could not be opened
  EXPECT_FALSE(fs::exists(path + ".partial.old"));
  EXPECT_EQ(done_in(path, header), 3 * batch_size);

  const auto file = ResultFile::create(path, manifest, header);
  file->set_columns(all_columns());
  put_batches(*file, batches, 5);
  file->finish(some_footer());
  EXPECT_EQ(contents(ReadFile(path)), expected);
  for (const char* left : {".partial", ".journal", ".partial.old", ".journal.old"}) EXPECT_FALSE(fs::exists(path + left)) << left;
}

TEST_F(Resume, OverwriteOfAStoppedRunKeepsItToo) {
  {
    const auto file = ResultFile::create(path, manifest, header);
    file->set_columns(all_columns());
    put_batches(*file, 3, 1);
    file->finish(some_footer(false));
  }
  ResultFile::create(path, manifest, header).reset();
  ResultFile::discard(path);
  EXPECT_EQ(done_in(path, header), 3 * batch_size);
}

TEST_F(Resume, ACompleteFileSaysOfWhichRun) {
  const std::string kept = ReadFile(folder / "whole.h5").text("identity");
  const auto refused = [&](const Identity& now) {
    const Error error = error_of([&] { ResultFile::require_same_run("whole.h5", kept, now); });
    EXPECT_TRUE(error.code() == ExitCode::usage || *error.what() == 0);
    return std::string(error.what());
  };
  Identity now = *header.identity;
  now.model_sha256 = some_footer().model_sha256;
  now.device_kind = "cuda"; // free, as are the build and a batch size that is found
  now.batch_size = 0;
  EXPECT_EQ(refused(now), "");
  now.model_sha256 = "other";
  EXPECT_THAT(refused(now), HasSubstr("--model"));
  now.model_sha256 = some_footer().model_sha256;
  now.manifest_sha256 = "other";
  now.batch_size = 3;
  now.options["mean"] = "0.4";
  EXPECT_THAT(refused(now), testing::AllOf(HasSubstr("--input"), HasSubstr("--batch-size: 7 then, 3 now"), HasSubstr("--mean")));
  EXPECT_EQ(error_of([&] { ResultFile::require_same_run("old.h5", "", now); }).code(), ExitCode::usage);
}

/// The rows' sync and the journal's, at the first commit of a run and of one that was gone on with. The system still shows the bytes.
TEST_F(Resume, WhatAFailedSyncMayHaveLostIsDoneAgain) {
  for (const bool resumed : {false, true})
    for (const int failing : {1, 2}) {
      leave(4);
      std::uint64_t before = 0;
      {
        const auto file = resumed ? ResultFile::resume(path, header) : ResultFile::create(path, manifest, header);
        file->set_columns(all_columns());
        before = file->earlier().done;
        put_batches(*file, 3, 6, 100);
        file->commit();
        before += 3 * batch_size;
        put_batches(*file, 10, 7, 100);
        syncs_until_failure = failing;
        const Error error = error_of([&] { file->commit(); });
        EXPECT_EQ(error.code(), ExitCode::stopped) << error.what();
        EXPECT_EQ(syncs_until_failure, 0);
      }
      EXPECT_EQ(done_in(path, header), before) << resumed << ' ' << failing;
      finish_and_compare();
    }
}

} // namespace
} // namespace mgpu::agent::write::test
