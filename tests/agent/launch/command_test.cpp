// The command line of launch, and what it makes of it.
#include "agent/launch/command.hpp"

#include <gmock/gmock.h>

#include <array>

#include "agent/cli/job_list.hpp"
#include "agent/cli/options.hpp"
#include "mgpu/error.hpp"

namespace mgpu {
// What mgpu_add_program() generates for a program.
std::span<const JobEntry> job_list() {
  static constexpr std::array<JobEntry, 1> jobs{{{"infer", nullptr}}};
  return jobs;
}
std::string_view program_name() {
  return "mgpu_run";
}
} // namespace mgpu

namespace mgpu::agent::launch {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

std::string refusal(const std::vector<std::string>& arguments) {
  try {
    parse("mgpu_run", arguments);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(Parse, TakesOptionsAndTheJob) {
  const Options options = parse("mgpu_run", {"-np", "8", "--hosts", "a:2, b:6", "--max-restarts", "5", "--mpi-args",
                                             "--mca btl_tcp_if_include eth0", "--", "infer", "-n", "--np", "--"});
  EXPECT_EQ(options.ranks, 8);
  EXPECT_EQ(options.hosts, "a:2,b:6");
  EXPECT_EQ(options.max_restarts, 5);
  EXPECT_THAT(options.mpi_args, ElementsAre("--mca", "btl_tcp_if_include", "eth0"));
  EXPECT_THAT(options.job, ElementsAre("infer", "-n", "--np", "--"));
}

TEST(Parse, FindsTheJobWithoutTheTwoDashes) {
  EXPECT_THAT(parse("mgpu_run", {"-n", "2", "infer", "--model", "x"}).job, ElementsAre("infer", "--model", "x"));
}

TEST(Parse, SharesRanksEvenlyOverHostsWithoutACount) {
  EXPECT_EQ(parse("mgpu_run", {"-np", "5", "--hosts", "a,b,c:1", "--", "infer"}).hosts, "a:2,b:2,c:1");
}

TEST(Parse, RefusesWhatCannotWork) {
  EXPECT_THAT(refusal({"--", "infer"}), HasSubstr("-np N is missing"));
  EXPECT_THAT(refusal({"-np", "0", "--", "infer"}), HasSubstr("-np N is missing"));
  EXPECT_THAT(refusal({"-np", "2"}), HasSubstr("nothing behind --"));
  EXPECT_THAT(refusal({"-np", "2", "--", "infre"}), HasSubstr("no job 'infre'"));
  EXPECT_THAT(refusal({"-np", "2", "--hosts", "a,,b", "--", "infer"}), HasSubstr("empty name"));
  EXPECT_THAT(refusal({"-np", "2", "--max-restarts", "-1", "--", "infer"}), HasSubstr("max-restarts"));
  EXPECT_THAT(refusal({"-np", "2", "--restarts", "1", "--", "infer"}), HasSubstr("--restarts"));
}

TEST(Parse, HelpsByExample) {
  try {
    parse("mgpu_run", {"--help"});
    FAIL();
  } catch (const cli::HelpWanted& help) {
    EXPECT_THAT(help.text, ContainsRegex("mgpu_run launch -np 8 -- infer .*--output photos.h5"));
    EXPECT_THAT(help.text, HasSubstr("75 stopped early"));
  }
}

TEST(OpenMpiVersion, KnowsWhoseMpirunItIs) {
  EXPECT_EQ(open_mpi_version("mpirun (Open MPI) 5.0.10\n\nReport bugs"), 5);
  EXPECT_EQ(open_mpi_version("mpirun (Open MPI) 4.1.4\n"), 4);
  EXPECT_THROW(open_mpi_version("HYDRA build details:\n    Version: 4.1.2"), Error);
  EXPECT_THROW(open_mpi_version("mpirun (Open MPI) 3.1.4\n"), Error);
}

TEST(Resumed, GoesOnAndNeverBeginsAnew) {
  EXPECT_THAT(resumed({"infer", "--overwrite", "--model", "x"}),
              ElementsAre("infer", "--model", "x", "--resume=true", "--overwrite=false"));
  EXPECT_THAT(resumed({"infer", "--resume"}), ElementsAre("infer", "--resume=true", "--overwrite=false"));
}

TEST(MpirunCommand, LetsTheOthersLiveWhenARankDies) {
  Options options;
  options.ranks = 4;
  options.hosts = "a:2,b:2";
  options.mpi_args = {"--tag-output"};
  EXPECT_THAT(mpirun_command(options, 5, "/bin/mgpu_run", {"infer", "--model", "x"}, {"MGPU_A"}),
              ElementsAre("mpirun", "--with-ft", "ulfm", "--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none", "-np", "4",
                          "--host", "a:2,b:2", "-x", "MGPU_A", "--tag-output", "/bin/mgpu_run", "infer", "--model", "x"));
  EXPECT_THAT(mpirun_command(options, 4, "/bin/mgpu_run", {"infer"}, {}), IsSupersetOf({"--enable-recovery", "--oversubscribe"}));
}

} // namespace
} // namespace mgpu::agent::launch
