#include "agent/write/hdf5/strings.hpp"

#include <algorithm>

#include "common/wire/row_crc.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::write {

StringDataset::StringDataset(const h5::Id& group, const std::string& name, std::uint64_t rows)
    : StringDataset(h5::create_contiguous(group, name, h5::utf8_string(), {rows}), rows, false) {}

StringDataset StringDataset::open_blank(const h5::Id& group, const std::string& name) {
  h5::Id dataset = h5::open_dataset(group, name);
  const std::uint64_t rows = h5::shape_of(dataset).at(0);
  return {std::move(dataset), rows, true};
}

void StringDataset::push(std::string_view text) {
  begins_.push_back(text_.size());
  for (std::size_t nul; (nul = text.find('\0')) != std::string_view::npos; text.remove_prefix(nul + 1))
    text_.append(text.substr(0, nul)).append(wire::nul_replacement);
  text_.append(text).push_back('\0');
  if (begins_.size() >= block_rows || text_.size() >= block_bytes) flush();
}

void StringDataset::flush() {
  if (begins_.empty()) return;
  const bool all_empty = text_.size() == begins_.size(); // the text has only NULs
  if (!(blank_ && all_empty)) {
    std::vector<const char*> pointers;
    pointers.reserve(begins_.size());
    for (const std::size_t begin : begins_) pointers.push_back(text_.data() + begin);
    h5::write_rows(dataset_, type_, written_, pointers.size(), pointers.data());
  }
  written_ += begins_.size();
  begins_.clear();
  text_.clear();
}

void StringDataset::close() {
  flush();
  if (written_ != rows_)
    throw Error("HDF5: a string dataset got " + std::to_string(written_) + " of its " + std::to_string(rows_) + " rows");
  dataset_.close();
}

std::vector<std::string> item_dataset_names(const std::vector<std::string>& columns) {
  std::vector<std::string> names;
  for (const std::string& column : columns) {
    std::string name = column;
    for (char& c : name)
      if (c == '/' || c == '\0') c = '_';
    if (name == "." || name == "..") name = "_";
    if (std::find(own_item_datasets.begin(), own_item_datasets.end(), name) != own_item_datasets.end()) name = "manifest_" + name;
    while (std::find(names.begin(), names.end(), name) != names.end()) name += '_';
    names.push_back(name);
  }
  return names;
}

} // namespace mgpu::agent::write
