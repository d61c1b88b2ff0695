#pragma once

namespace mgpu {

/// Repairs state inherited from the parent process: the first call in main.
///
/// A closed standard stream is opened on /dev/null: otherwise the next file that is opened becomes descriptor 0, 1 or 2, and
/// printed text goes into it. SIGCHLD gets its default action: if it is ignored, a process cannot learn how its children end.
/// The soft limit of open files is raised, up to the hard limit and 65,536: a large job has a connection to each rank, and most systems
/// start with 1024; but some programs close every descriptor up to the limit, and hard limits of a billion exist.
/// Ends the process with exit code 1 when /dev/null cannot be opened.
void mend_inherited_state();

} // namespace mgpu
