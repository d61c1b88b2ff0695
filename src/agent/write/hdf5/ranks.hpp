#pragma once
#include <span>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/result_file.hpp"

namespace mgpu::agent::write {

/// Writes the table /ranks.
void write_ranks(const h5::Id& file, std::span<const RankRow> rows);
/// Reads it; empty if the file has none.
std::vector<RankRow> read_ranks(const h5::Id& file);

} // namespace mgpu::agent::write
