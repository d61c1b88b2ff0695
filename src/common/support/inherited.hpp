#pragma once

namespace mgpu {

/// Mends what a parent process may have left: the first thing a main does.
///
/// A standard stream that is closed is opened on /dev/null: else the next file that is opened becomes descriptor 0, 1 or 2, and what is
/// printed lands in it. SIGCHLD gets its default action: where it is ignored, no process learns how its children end.
/// The limit of open files is raised to the hard one: a large job has a connection to each rank, and most systems begin with 1024.
/// Ends the process with 1 when /dev/null cannot be opened.
void mend_inherited_state();

} // namespace mgpu
