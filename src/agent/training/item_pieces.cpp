#include "agent/training/item_pieces.hpp"

#include <limits>

namespace mgpu::agent {

namespace {
constexpr std::uint64_t piece_items = 4096;
} // namespace

ItemPieces::ItemPieces(RunControl& control)
    : control_(control), next_(static_cast<std::size_t>(control.rank_table().size()), std::numeric_limits<std::size_t>::max()) {}

void ItemPieces::make(std::uint64_t held_out, const UnusableItems& unusable) {
  const RunSetup& setup = control_.setup();
  const TrainingSetup& training = *setup.training;
  pieces_.clear();
  add(wire::DataPart::train, setup.manifest, training.labels, setup.manifest.size(), unusable);
  if (training.validation)
    add(wire::DataPart::validation, training.validation->manifest, training.validation->labels, held_out, unusable);
  else
    add(wire::DataPart::validation, {}, {}, 0, unusable);
}

void ItemPieces::add(wire::DataPart part, const manifest::Manifest& manifest, const manifest::StringColumn& labels,
                     std::uint64_t count, const UnusableItems& unusable) {
  const std::vector<std::string>& names = control_.setup().item_columns;
  std::vector<std::size_t> columns;
  for (const std::string& name : names)
    if (count > 0) columns.push_back(manifest.column(name).value());
  std::uint64_t row = 0;
  do { // at least one piece, so that the worker knows that the part is empty
    wire::Items piece{static_cast<std::uint8_t>(part), count, {}, {}};
    for (; row < count && piece.items.size() < piece_items; ++row) {
      Item& item = piece.items.emplace_back();
      item.index = row;
      item.path = manifest.path(row);
      item.columns.emplace_back("label", labels[row]);
      if (const auto found = unusable.given_up.find({piece.part, row}); found != unusable.given_up.end())
        piece.given_up.push_back({row, piece.part, found->second});
      for (std::size_t at = 0; at < columns.size(); ++at) item.columns.emplace_back(names[at], manifest.value(columns[at], row));
    }
    wire::encode(piece, pieces_.emplace_back());
  } while (row < count);
}

void ItemPieces::hand_out(const std::vector<bool>& fresh) {
  for (int rank = 0; rank < control_.rank_table().size(); ++rank) {
    std::size_t& next = next_[static_cast<std::size_t>(rank)];
    if (!fresh[static_cast<std::size_t>(rank)] || !control_.rank_table().at(rank).lost.empty()) next = pieces_.size();
    for (; next < pieces_.size() && control_.idle(rank); ++next)
      control_.post(rank, wire::Type::items, wire::View(pieces_[next]));
  }
}

} // namespace mgpu::agent
