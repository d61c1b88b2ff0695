#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/wire/activity_table.hpp"
#include "common/wire/training_messages.hpp"
#include "mgpu/item.hpp"
#include "worker/train/environment.hpp"
#include "worker/train/unit_feed.hpp"

namespace mgpu::worker::train {

struct DataSets {
  std::vector<Item> train, validation;
  std::map<std::pair<wire::DataPart, std::uint64_t>, std::string>
      given_up; ///< by part and row: why the item must not be prepared
};

/// Opens the loaders of the two data sets. All arguments must outlive this object and the loaders.
class DataFeeds {
 public:
  DataFeeds(const Environment& environment, const DataSets& data, wire::ActivityTable& activity_table)
      : environment_(environment), data_(data), activity_table_(activity_table) {}
  /// `strength`: factor of augmentation.
  std::unique_ptr<UnitFeed> open_train(std::int64_t batch_size, double strength, UnitFeed::Next next) const;
  /// The same rows in every validation.
  std::unique_ptr<UnitFeed> open_validation(std::int64_t batch_size, UnitFeed::Next next) const;

 private:
  void prepare(wire::DataPart part, const Item& item, const Variation& variation, Sample& sample) const;
  Prefetcher::Settings loader_settings(wire::DataPart part, std::int64_t batch_size) const;

  const Environment& environment_;
  const DataSets& data_;
  wire::ActivityTable& activity_table_;
};

} // namespace mgpu::worker::train
