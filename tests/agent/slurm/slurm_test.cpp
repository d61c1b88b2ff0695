#include "agent/slurm/slurm.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "mgpu/error.hpp"

namespace mgpu::agent::slurm {
namespace {

using comm::Launcher;
using testing::HasSubstr;

SlurmFacts step_of(int tasks) {
  SlurmFacts facts;
  facts.job = "17";
  facts.step = "0";
  facts.tasks = tasks;
  facts.task = 0;
  facts.nodes = 2;
  return facts;
}

TEST(Slurm, ReadsTheEnvironment) {
  for (const char* name : {"SLURM_STEP_NUM_NODES", "SLURM_RESTART_COUNT", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"})
    unsetenv(name);
  setenv("SLURM_JOB_ID", "17", 1);
  setenv("SLURM_STEP_ID", "3", 1);
  setenv("SLURM_STEP_NUM_TASKS", "4", 1);
  setenv("SLURM_PROCID", "x", 1);
  const SlurmFacts facts = SlurmFacts::read();
  EXPECT_EQ(facts.job, "17");
  EXPECT_EQ(facts.step, "3");
  EXPECT_EQ(facts.tasks, 4);
  EXPECT_EQ(facts.task, -1) << "no number";
  EXPECT_EQ(facts.nodes, -1);
  EXPECT_EQ(facts.restarts, 0);
  EXPECT_EQ(describe(facts), "SLURM job 17, step 3: 4 tasks");
}

TEST(Slurm, DescribesArrayTasksAndRequeues) {
  SlurmFacts facts = step_of(1);
  facts.array_job = "15";
  facts.array_task = "2";
  facts.restarts = 1;
  facts.nodes = 1;
  EXPECT_EQ(describe(facts), "SLURM job 17, array task 15_2, requeued 1 time, step 0: 1 task on 1 node");
  EXPECT_EQ(describe({}), "");
}

TEST(Slurm, TasksThatMpiHasNotJoinedAreRefusedWithTheLineToType) {
  const auto plain = unjoined_tasks(step_of(4), Launcher::none, -1, "mgpu_run infer --input a");
  ASSERT_TRUE(plain);
  EXPECT_THAT(*plain, HasSubstr("srun --mpi=pmix -N2 -n4 mgpu_run infer --input a\n"));
  EXPECT_THAT(*plain, HasSubstr("without PMIx"));
  const auto pmi2 = unjoined_tasks(step_of(4), Launcher::srun, 1, "mgpu_run infer");
  ASSERT_TRUE(pmi2);
  EXPECT_THAT(*pmi2, HasSubstr("does not use"));
}

TEST(Slurm, JoinedTasksBatchScriptsShellsAndMpirunAreNoError) {
  EXPECT_FALSE(unjoined_tasks(step_of(4), Launcher::srun, -1, "")) << "MPI is not started yet";
  EXPECT_FALSE(unjoined_tasks(step_of(4), Launcher::srun, 4, ""));
  EXPECT_FALSE(unjoined_tasks(step_of(4), Launcher::mpirun, 2, "")) << "mpirun inside a step";
  EXPECT_FALSE(unjoined_tasks(step_of(1), Launcher::none, -1, "")) << "the shell that salloc starts as a step";
  EXPECT_FALSE(unjoined_tasks({}, Launcher::none, -1, ""));
  SlurmFacts batch = step_of(4);
  batch.step = "";
  EXPECT_FALSE(unjoined_tasks(batch, Launcher::none, -1, "")) << "a batch script";
}

TEST(Slurm, KillWaitComesFromTheClustersConfiguration) {
  std::vector<std::string> asked;
  const auto says = [&asked](std::string text) {
    return [&asked, text = std::move(text)](const std::vector<std::string>& command) {
      asked = command;
      return text;
    };
  };
  EXPECT_EQ(kill_wait_s(says("JobAcctGatherType = none\nKillOnBadExit           = 0\nKillWait                = 12 sec\n")), 12);
  EXPECT_THAT(asked, testing::ElementsAre("scontrol", "show", "config"));
  EXPECT_EQ(kill_wait_s(says("slurm_load_ctl_conf error\n")), 30);
  EXPECT_EQ(kill_wait_s([](const auto&) -> std::string { throw Error("no such program"); }), 30);
}

TEST(Slurm, PluginsAreAskedForInsideAJobOnly) {
  const Ask asked = [](const auto&) { return "MPI plugin types are...\n\tpmix\n"; };
  EXPECT_THAT(mpi_plugins(step_of(2), asked), HasSubstr("pmix"));
  EXPECT_EQ(mpi_plugins(step_of(2), [](const auto&) -> std::string { throw Error("no such program"); }), "");
  EXPECT_EQ(mpi_plugins({}, [](const auto&) -> std::string { throw std::logic_error("asked"); }), "");
}

TEST(Slurm, GraceAfterTermEndsBeforeSrunKills) {
  const Ask twelve = [](const auto&) { return "KillWait = 12 sec\n"; };
  EXPECT_EQ(term_grace_s(Launcher::srun, 20, twelve), 7);
  EXPECT_EQ(term_grace_s(Launcher::srun, 3, twelve), 3);
  EXPECT_EQ(term_grace_s(Launcher::srun, 20, [](const auto&) { return "KillWait = 2 sec\n"; }), 0);
  EXPECT_EQ(term_grace_s(Launcher::mpirun, 20, [](const auto&) -> std::string { throw std::logic_error("asked"); }), 20);
}

} // namespace
} // namespace mgpu::agent::slurm
