#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "mgpu/tokenizer.hpp"

namespace mgpu::test {

using Ids = std::vector<std::int64_t>;

/// A file that the module's make_references.py wrote.
inline std::string reference(const std::string& name) {
  const char* folder = std::getenv("MGPU_REFERENCES");
  return (folder != nullptr ? std::string(folder) : std::string(MGPU_REFERENCES)) + "/" + name;
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::uint32_t read_number(const std::string& bytes, std::size_t& at) {
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.substr(at, sizeof number).data(), sizeof number);
  at += sizeof number;
  return number;
}

inline std::vector<std::string> read_texts(const std::string& name) {
  const std::string bytes = read_file(reference(name));
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::uint32_t size = read_number(bytes, at);
    texts.push_back(bytes.substr(at, size));
    at += size;
  }
  EXPECT_FALSE(texts.empty()) << name;
  return texts;
}

inline std::vector<Ids> read_ids(const std::string& name) {
  const std::string bytes = read_file(reference(name));
  std::vector<Ids> lists;
  for (std::size_t at = 0; at < bytes.size();) {
    lists.emplace_back(read_number(bytes, at));
    for (auto& id : lists.back()) id = read_number(bytes, at);
  }
  EXPECT_FALSE(lists.empty()) << name;
  return lists;
}

/// One for all tests: opening Qwen's vocabulary takes a second.
inline const Tokenizer& tokenizer(const std::string& name) {
  static const Tokenizer qwen = Tokenizer::open(reference("qwen.json"));
  static const Tokenizer small = Tokenizer::open(reference("small.json"));
  static const Tokenizer normal = Tokenizer::open(reference("normal.json"));
  return name == "qwen" ? qwen : name == "small" ? small : normal;
}

} // namespace mgpu::test
