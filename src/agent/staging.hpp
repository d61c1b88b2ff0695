#pragma once
// A model read once a node: its leader copies it into the node's memory (/dev/shm), from where every worker of the node opens it.
#include <string>

#include "wire/messages.hpp"

namespace mgpu::agent {

/// True when `path` lies on a file system of this machine, whose page cache all ranks of the node share anyway.
bool on_local_disk(const std::string& path);

/// Copies a model file or bundle folder to /dev/shm. Never throws: the error is in the answer.
wire::Staged stage_model(const std::string& path);

/// Removes what stage_model made.
void remove_staged(const std::string& path);

} // namespace mgpu::agent
