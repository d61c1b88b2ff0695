#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "mgpu/item.hpp"

namespace mgpu::test {

/// Folder that the module's make_references.py filled.
inline std::string references() {
  const char* folder = std::getenv("MGPU_REFERENCES");
  return folder != nullptr ? std::string(folder) + "/" : std::string(MGPU_REFERENCES "/");
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Rows of a tab-separated table.
inline std::vector<std::vector<std::string>> table(const std::string& name) {
  std::ifstream file(references() + name);
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    rows.emplace_back();
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, '\t');) rows.back().push_back(cell);
  }
  EXPECT_FALSE(rows.empty()) << name << " has no rows: did make_references.py run?";
  return rows;
}

/// Elements of a little-endian .npy file in C order; its element type must have sizeof(T) bytes.
template <typename T>
struct Npy {
  explicit Npy(const std::string& path) {
    const std::string bytes = read_file(path);
    const std::size_t header = static_cast<unsigned char>(bytes.at(8)) + 256u * static_cast<unsigned char>(bytes.at(9));
    const std::string text = bytes.substr(10, header);
    EXPECT_NE(text.find("'fortran_order': False"), std::string::npos) << path;
    EXPECT_EQ(text[text.find("'descr': '") + 12], static_cast<char>('0' + sizeof(T))) << path << text;
    std::istringstream numbers(text.substr(text.find("'shape': (") + 10));
    for (std::int64_t size = 0; numbers >> size; numbers.ignore(2, ' ')) {
      shape.push_back(size);
      if (numbers.peek() == ',') numbers.ignore(1);
    }
    values.resize((bytes.size() - 10 - header) / sizeof(T));
    std::memcpy(values.data(), bytes.data() + 10 + header, values.size() * sizeof(T));
  }
  std::vector<std::int64_t> shape;
  std::vector<T> values;
};

inline Item item_of(const std::string& path) {
  Item item;
  item.path = path;
  return item;
}

inline Item shipped(std::string bytes) {
  Item item;
  item.path = "somewhere else/name.bin";
  item.shipped = true;
  item.content = std::move(bytes);
  return item;
}

} // namespace mgpu::test
