#include "worker/train/skipped_items.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mgpu::worker::train {
namespace {

using ::testing::ElementsAre;

/// Rows with these items; `errors` as in LoadedBatch.
LoadedBatch loaded(const std::vector<std::uint64_t>& items, std::vector<std::string> errors) {
  LoadedBatch batch;
  for (const std::uint64_t index : items) batch.range.items.push_back({index, "path", false, "", {}});
  batch.errors = std::move(errors);
  return batch;
}

TEST(SkippedItems, AreReportedOncePerPart) {
  std::vector<std::vector<std::string>> messages;
  SkippedItems skipped([&](const wire::Skipped& message) {
    messages.emplace_back();
    for (const wire::SkippedItem& item : message.items)
      messages.back().push_back(std::to_string(item.part) + "/" + std::to_string(item.index) + " " + item.reason);
  });
  skipped.report(loaded({3, 4, 5}, {"", "cut off", "empty"}), wire::DataPart::train);
  skipped.report(loaded({5, 4}, {"empty", "cut off"}), wire::DataPart::train); // the next epoch
  skipped.report(loaded({6, 7}, {"", ""}), wire::DataPart::train);
  skipped.report(loaded({4, 9}, {"cut off", ""}), wire::DataPart::validation);
  EXPECT_THAT(messages, ElementsAre(ElementsAre("0/4 cut off", "0/5 empty"), ElementsAre("1/4 cut off")));
}

} // namespace
} // namespace mgpu::worker::train
