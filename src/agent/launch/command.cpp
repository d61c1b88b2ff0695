#include "agent/launch/command.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <regex>

#include "agent/cli/job_list.hpp"
#include "agent/cli/options.hpp"
#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::launch {

namespace {

bool is_job(const std::string& word) {
  return word == "doctor" ||
         std::any_of(job_list().begin(), job_list().end(), [&](const JobEntry& entry) { return entry.name == word; });
}

std::string examples(const std::string& program) {
  return fmt::format(
      "Examples:\n"
      "  {0} launch -np 8 -- infer --model bundle/ --input photos/ --output photos.h5\n"
      "      8 ranks on this machine; a rank that is killed costs its own work only, a lost job is started again with --resume\n"
      "  {0} launch -np 16 --hosts node1:8,node2:8 -- train --model net.pt --input train/ --output run.h5\n"
      "      8 ranks on each of two machines (by ssh, as mpirun does)\n"
      "  {0} launch -np 4 --max-restarts 0 --mpi-args \"--mca btl_tcp_if_include eth0\" -- infer …\n"
      "      never again; and options of mpirun's own\n\n"
      "The exit code is the job's own: 0 every item done, 1 failed, 2 bad usage, 3 some items failed, 75 stopped early. The "
      "first INT, TERM,\n"
      "USR1 or USR2 asks the job to stop in good order (75, --resume continues), a second INT stops it at once.",
      program);
}

/// Hosts without a count share the ranks evenly.
std::string with_counts(const std::string& hosts, int ranks) {
  const auto names = split_trimmed(hosts, ',');
  const int count = static_cast<int>(names.size());
  std::string text;
  for (const std::string_view name : names) {
    if (name.empty()) throw usage_error(fmt::format("--hosts {}: an empty name; give a:2,b:2 or a,b", hosts));
    text += fmt::format("{}{}", text.empty() ? "" : ",", name);
    if (name.find(':') == std::string_view::npos) text += fmt::format(":{}", (ranks + count - 1) / count);
  }
  return text;
}

} // namespace

Options parse(const std::string& program, const std::vector<std::string>& arguments) {
  // The job begins after "--", or, if that is missing, with its name.
  auto job = std::find(arguments.begin(), arguments.end(), "--");
  if (job == arguments.end()) job = std::find_if(arguments.begin(), arguments.end(), is_job);
  std::vector<std::string> own(arguments.begin(), job);
  for (std::string& word : own)
    if (word == "-np") word = "-n"; // mpirun's spelling; CLI11 has no short names of two letters
  Options options;
  options.job.assign(job, arguments.end());
  if (!options.job.empty() && options.job.front() == "--") options.job.erase(options.job.begin());

  CLI::App app(fmt::format("Starts a job under mpirun, watches it, and starts it again when it is lost:\n"
                           "  {} launch -np N [OPTIONS] -- JOB [options of the job]",
                           program),
               fmt::format("{} launch", program));
  app.footer(examples(program));
  app.get_formatter()->column_width(34);
  std::string mpi_args;
  app.add_option("-n,--np", options.ranks, "ranks, one per GPU (-np as mpirun has it)")->type_name("N");
  app.add_option(
         "--hosts", options.hosts,
         "machines and the ranks on each: a:2,b:2; a,b shares them evenly; default: this one, or what the batch system gave")
      ->type_name("LIST");
  app.add_option("--max-restarts", options.max_restarts,
                 "starts after the first one, when the job was lost without an end of its own [3]")
      ->type_name("K")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--linger", options.linger_s, "seconds mpirun may stay after the job is done [30]")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--silent", options.silent_s, "seconds without a sign of life of rank 0 until the job counts as lost [180]")
      ->type_name("SECONDS")
      ->check(CLI::PositiveNumber);
  app.add_option("--mpirun", options.mpirun, "Open MPI's mpirun [the first in PATH]")->type_name("FILE");
  app.add_option("--mpi-args", mpi_args, "more options for mpirun, separated by blanks")->type_name("\"…\"");
  std::reverse(own.begin(), own.end());
  try {
    app.parse(own);
  } catch (const CLI::CallForHelp&) {
    throw cli::HelpWanted{app.help()};
  } catch (const CLI::Error& error) {
    throw usage_error(fmt::format("{} (see {} launch --help)", error.what(), program));
  }
  if (options.ranks <= 0)
    throw usage_error(fmt::format("launch: -np N is missing: how many ranks? (see {} launch --help)", program));
  if (options.job.empty() || !is_job(options.job.front()))
    throw usage_error(fmt::format(
        "launch: {} behind --; give a job, for example: {} launch -np 2 -- infer … (see {} launch --help)",
        options.job.empty() ? "there is nothing" : "there is no job '" + options.job.front() + "'", program, program));
  if (!options.hosts.empty()) options.hosts = with_counts(options.hosts, options.ranks);
  for (const std::string_view word : split_trimmed(mpi_args, ' '))
    if (!word.empty()) options.mpi_args.emplace_back(word);
  return options;
}

int open_mpi_version(const std::string& printed) {
  std::smatch found;
  if (!std::regex_search(printed, found, std::regex(R"(\(Open MPI\) (\d+)\.)")) || std::stoi(found[1]) < 4)
    throw usage_error("launch needs mpirun of Open MPI 4 or later in PATH, or --mpirun FILE");
  return std::stoi(found[1]);
}

std::vector<std::string> resumed(const std::vector<std::string>& job) {
  std::vector<std::string> again;
  for (const std::string& word : job)
    if (word != "--overwrite" && word != "--resume") again.push_back(word);
  again.insert(again.end(), {"--resume=true", "--overwrite=false"}); // overrides the environment and --config
  return again;
}

std::vector<std::string> mpirun_command(const Options& options, int open_mpi, const std::string& program,
                                        const std::vector<std::string>& job, const std::vector<std::string>& variables) {
  std::vector<std::string> command{options.mpirun};
  const auto add = [&command](std::initializer_list<std::string> words) { command.insert(command.end(), words); };
  // A dead rank must not end the others. mpirun neither binds cores nor checks slots (GPUs): the agents do both.
  if (open_mpi >= 5)
    add({"--with-ft", "ulfm", "--map-by", "slot:OVERSUBSCRIBE"});
  else
    add({"--enable-recovery", "--oversubscribe", "--mca", "pml", "ob1"});
  add({"--bind-to", "none", "-np", std::to_string(options.ranks)});
  if (!options.hosts.empty()) add({"--host", options.hosts});
  for (const std::string& name : variables) add({"-x", name});
  command.insert(command.end(), options.mpi_args.begin(), options.mpi_args.end());
  command.push_back(program);
  command.insert(command.end(), job.begin(), job.end());
  return command;
}

} // namespace mgpu::agent::launch
