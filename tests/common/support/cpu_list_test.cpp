#include "common/support/cpu_list.hpp"

#include <gtest/gtest.h>

namespace mgpu {
namespace {

using Numbers = std::vector<std::int32_t>;

TEST(CpuList, ReadsTheKernelsLists) {
  EXPECT_EQ(parse_cpu_list("0-3,8\n"), (Numbers{0, 1, 2, 3, 8}));
  EXPECT_EQ(parse_cpu_list("0,64"), (Numbers{0, 64}));
  EXPECT_EQ(parse_cpu_list("7"), (Numbers{7}));
  EXPECT_EQ(parse_cpu_list(""), Numbers{});
}

TEST(CpuList, WhatIsNoListEndsIt) {
  EXPECT_EQ(parse_cpu_list("1,x"), (Numbers{1}));
  EXPECT_EQ(parse_cpu_list("5-2"), Numbers{});
  EXPECT_EQ(parse_cpu_list("0-99999999"), Numbers{});
  EXPECT_EQ(parse_cpu_list("-1"), Numbers{});
  EXPECT_EQ(parse_cpu_list("99999999999999999999"), Numbers{});
  EXPECT_EQ(read_cpu_list("/no/such/file"), Numbers{});
}

} // namespace
} // namespace mgpu
