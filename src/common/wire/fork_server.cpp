#include "common/wire/fork_server.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <utility>

#include "common/wire/fork_request.hpp"

namespace mgpu::wire {

namespace {

constexpr useconds_t look_every_us = 200;

bool has_one_thread() {
  std::error_code error;
  std::filesystem::directory_iterator at("/proc/self/task", error), end;
  return !error && at != end && ++at == end;
}

/// The fork server must not keep the first worker's descriptors: the agent detects the end of a worker by its socket.
void let_go_of_the_first_worker() {
  const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nowhere < 0) _exit(1);
  // The numbers stay in use, so that the descriptors of a request never get them.
  for (const int each : {WorkerDescriptors::socket, WorkerDescriptors::ring, WorkerDescriptors::activity, STDERR_FILENO})
    if (dup2(nowhere, each) < 0) _exit(1);
  setpgid(0, 0); // signals to the worker's group are not for the fork server
  prctl(PR_SET_NAME, "mgpu_forks");
}

/// In the new process, whose parent `maker` ends at once: the agent adopts it and gets its process id.
void become_worker(const ForkRequest& request, pid_t maker) {
  while (getppid() == maker) usleep(look_every_us);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != request.agent) _exit(1); // the agent has ended
  prctl(PR_SET_NAME, "mgpu_worker");
  setpgid(0, 0);
  const auto& [conversation, socket, ring, activity_table, errors] = request.descriptors;
  // The request's descriptors have higher numbers, because these were in use when it arrived.
  const std::pair<int, int> places[] = {{socket, WorkerDescriptors::socket},
                                        {ring, WorkerDescriptors::ring},
                                        {activity_table, WorkerDescriptors::activity},
                                        {errors, STDERR_FILENO}};
  for (const auto& [from, to] : places) {
    if (dup2(from, to) < 0) _exit(1);
    close(from);
  }
  if (setenv("TMPDIR", request.temporary_folder.c_str(), 1) != 0) _exit(1);
  const pid_t self = getpid();
  char wanted = 0;
  if (write(conversation, &self, sizeof self) != sizeof self || read(conversation, &wanted, 1) != 1) _exit(1);
  close(conversation);
}

/// Forks twice, so that the worker becomes a child of its agent. True in the worker.
bool fork_worker(const ForkRequest& request) {
  const pid_t maker = fork();
  if (maker == 0) {
    const pid_t self = getpid();
    if (fork() != 0) _exit(0); // the agent notices a failed fork: the conversation closes
    become_worker(request, self);
    return true;
  }
  if (maker > 0) waitpid(maker, nullptr, 0);
  for (const int each : request.descriptors) close(each);
  return false;
}

/// Returns in workers only.
void serve(int control) {
  let_go_of_the_first_worker();
  if (write(control, &fork_server_ready, 1) != 1) _exit(1);
  try {
    while (const auto request = receive_fork_request(control))
      if (fork_worker(*request)) return;
  } catch (const std::exception&) {
    _exit(1);
  }
  _exit(0);
}

} // namespace

void leave_fork_server(int control) {
  if (has_one_thread() && fork() == 0) serve(control);
  close(control);
}

} // namespace mgpu::wire
