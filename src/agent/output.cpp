#include "agent/output.hpp"

#include "agent/report.hpp"
#include "mgpu/version.hpp"
#include "support/clock.hpp"
#include "support/hash.hpp"

namespace mgpu::agent {

void Output::start(int world_size) {
  const write::Header header{setup_.job_name, setup_.command, setup_.config.json().dump(), std::string(version), setup_.model, "",
                             utc_now(),       world_size};
  file_ = std::async(std::launch::async,
                     [this, header] { return write::ResultFile::create(setup_.output, setup_.manifest, header); });
  if (!setup_.model.empty()) model_hash_ = std::async(std::launch::async, [path = setup_.model] { return sha256_of(path); });
}

write::Writer& Output::writer() {
  if (!writer_) writer_ = std::make_unique<write::Writer>(file_.get());
  return *writer_;
}

void Output::set_columns(const std::vector<ColumnSpec>& columns) {
  if (columns_) {
    if (*columns_ != columns) throw Error("two ranks announced different output columns; is the model the same on every host?");
    return;
  }
  columns_ = columns;
  writer().set_columns(columns);
}

void Output::put(write::Block block) {
  writer().put(std::move(block));
}

void Output::check() const {
  if (writer_) writer_->check();
}

write::Footer Output::finish(bool complete, const Roster& roster, std::vector<write::Series> training,
                             const std::function<void(write::RankRow&)>& adjust) {
  write::Footer footer;
  footer.complete = complete;
  footer.finished = utc_now();
  if (model_hash_.valid()) footer.model_sha256 = model_hash_.get();
  for (int rank = 0; rank < roster.size(); ++rank) {
    footer.ranks.push_back(rank_row(rank, roster.at(rank)));
    if (adjust) adjust(footer.ranks.back());
  }
  footer.training = std::move(training);
  writer().finish(footer);
  return footer;
}

void Output::discard() noexcept {
  const bool made = writer_ != nullptr || file_.valid();
  writer_.reset();
  if (file_.valid()) file_.wait();
  file_ = {};
  if (made) write::ResultFile::discard(setup_.output);
}

} // namespace mgpu::agent
