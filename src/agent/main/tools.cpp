#include "agent/main/tools.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "agent/cli/job_list.hpp"
#include "agent/main/merge_shards.hpp"
#include "agent/write/tools/tools.hpp"
#include "mgpu/job.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

namespace {

std::string help() {
  std::string jobs;
  for (const JobEntry& entry : job_list())
    jobs += fmt::format("  {:<14} {}\n", entry.name, std::unique_ptr<Job>(entry.make())->summary());
  return fmt::format(
      "{0} {1}: distributed jobs on images and audio, one rank per GPU, one HDF5 file of results\n\n"
      "  mpirun -np 8 {0} JOB [options]        one rank per GPU; also srun --mpi=pmix, also without mpirun (1 rank)\n"
      "  {0} launch -np 8 -- JOB [options]     the same, started again with --resume when a node or rank 0 is lost\n\n"
      "Jobs:\n{2}\n"
      "Tools (one process):\n"
      "  inspect OUT.h5                 what a result file holds\n"
      "  export OUT.h5 [--format csv]   its rows as csv or jsonl on standard output\n"
      "  launch -np N -- JOB …          starts mpirun, watches the job, starts it again when it is lost\n"
      "  verify OUT.h5                  whether every row is still what its worker sent\n"
      "  recover OUT.h5                 a readable file from what a dead run left\n"
      "  merge A.h5 B.h5 … -o ALL.h5    one file of all shards of a run (JOB --shard I/N)\n"
      "  doctor                         what every rank sees (under mpirun or srun), and what is wrong with the start\n\n"
      "Examples:\n"
      "  mpirun -np 8 {0} infer --model resnet/ --input photos/ --output photos.h5\n"
      "  {0} infer --help\n"
      "  {0} inspect photos.h5\n"
      "  mpirun -np 8 {0} doctor\n\n"
      "Exit codes: 0 every item done, 1 the job failed, 2 bad usage or input, 3 finished with failed items, 75 stopped early.\n",
      program_name(), version, jobs);
}

/// Parses a tool's own command line; help and errors as everywhere else.
int with_arguments(CLI::App& app, const std::vector<std::string>& arguments, const std::function<int()>& run) {
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return 0;
  } catch (const CLI::Error& error) {
    throw usage_error(fmt::format("{} (see {} --help)", error.what(), app.get_name()));
  }
  const int code = run();
  std::cout.flush();
  if (!std::cout) throw Error("standard output cannot be written (its disk is full, or its reader has gone)");
  return code;
}

} // namespace

int run_tool(const std::string& name, const std::vector<std::string>& arguments) {
  if (name == "--help" || name == "-h" || name == "help") {
    fmt::print("{}", help());
    return 0;
  }
  if (name == "--version") {
    fmt::print("{} {}\n", program_name(), version);
    return 0;
  }
  if (name.empty()) {
    fmt::print(stderr, "{}", help());
    return static_cast<int>(ExitCode::usage);
  }
  std::string path;
  if (name == "inspect") {
    CLI::App app("What a result file holds", fmt::format("{} inspect", program_name()));
    app.add_option("FILE", path, "a result file")->required();
    return with_arguments(app, arguments, [&] {
      write::inspect(path, std::cout);
      return 0;
    });
  }
  if (name == "export") {
    CLI::App app("The rows of a result file on standard output", fmt::format("{} export", program_name()));
    std::string format = "csv";
    app.add_option("FILE", path, "a result file")->required();
    app.add_option("--format", format, "csv or jsonl [csv]")->check(CLI::IsMember({"csv", "jsonl"}));
    bool safe_csv = false;
    app.add_flag("--safe-csv", safe_csv, "an apostrophe before texts that begin with = + - @, which spreadsheets would compute");
    return with_arguments(app, arguments, [&] {
      write::export_rows(path, format, safe_csv, std::cout);
      return 0;
    });
  }
  if (name == "verify") {
    CLI::App app("Whether every row of a result file is still what its worker sent; exit code 1 where one is not",
                 fmt::format("{} verify", program_name()));
    app.add_option("FILE", path, "a result file")->required();
    return with_arguments(app, arguments,
                          [&] { return static_cast<int>(write::verify(path, std::cout) ? ExitCode::ok : ExitCode::failed); });
  }
  if (name == "recover") {
    CLI::App app("A readable result file from what a dead run left", fmt::format("{} recover", program_name()));
    app.add_option("FILE", path, "the --output of the run")->required();
    return with_arguments(app, arguments, [&] {
      write::recover(path, std::cout);
      return 0;
    });
  }
  if (name == "merge") {
    CLI::App app("Joins the result files of all shards of a run (--shard I/N) to the file of the run without --shard",
                 fmt::format("{} merge", program_name()));
    std::vector<std::string> shards;
    std::string output;
    bool overwrite = false;
    app.add_option("SHARDS", shards, "the files of all shards of one run, in any order, each complete")->required();
    app.add_option("-o,--output", output, "the merged file")->required()->type_name("ALL.h5");
    app.add_flag("--overwrite", overwrite, "replace an existing output file");
    app.footer(fmt::format(
        "Examples:\n"
        "  {0} infer --model net/ --input photos/ --batch-size 64 --shard 1/3 --output part1.h5    # also 2/3 and 3/3, anywhere\n"
        "  {0} merge part1.h5 part2.h5 part3.h5 -o all.h5\n"
        "  {0} merge part*.h5 -o all.h5        # the order does not matter\n\n"
        "Exit codes: 0 every item is done, 3 some items failed in their shards, 1 a row is damaged (the line names it),\n"
        "2 shards are missing, given twice, not complete or of another run, 75 the disk is full.",
        program_name()));
    return with_arguments(app, arguments, [&] { return merge_shards(shards, output, overwrite); });
  }
  throw usage_error(fmt::format("there is no job or tool '{}' (see {} --help)", name, program_name()));
}

} // namespace mgpu::agent
