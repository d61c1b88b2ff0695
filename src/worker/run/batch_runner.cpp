#include "worker/run/batch_runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "common/support/text.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/items_messages.hpp"
#include "worker/device/reason.hpp"
#include "worker/device/torch.hpp"
#include "worker/run/schema.hpp"

namespace mgpu::worker {

namespace {

void fail_rows(LoadedBatch& batch, std::size_t begin, std::size_t end, const std::string& reason, Cause cause = Cause::item) {
  for (std::size_t row = begin; row < end; ++row)
    if (batch.ok(row)) batch.fail(row, reason, cause);
}

} // namespace

// --- trial -------------------------------------------------------------------------------------------------------------------

/// A failed GPU concerns this rank only: the others may continue. Anything else, also a kernel's assertion, is the model's fault.
Error BatchRunner::trial_error(std::int64_t rows, const std::exception& error) {
  const std::string reason = reason_of(error);
  const std::string text = fmt::format("a trial batch of {} failed: {}", counted(rows, "row"), reason);
  if (streams_.works() || reason.find("device-side assert") != std::string::npos) return usage_error(text);
  Error sick(text);
  sick.cause = Cause::device;
  return sick;
}

void BatchRunner::trial(const std::optional<RowSpec>& row_spec, std::int64_t batch_size) {
  for (int variant = 0; variant < (row_spec ? 1 : 2); ++variant) {
    const torch::Tensor row = work_.trial_row(variant);
    if (!row.defined()) return;
    for (bool fits = false; !fits;) {
      const std::int64_t rows = std::min(batch_size, micro_.rows());
      try {
        run_trial(row, !row_spec, rows);
        fits = true;
      } catch (const std::exception& error) {
        if (!is_out_of_memory(error) || rows <= 1) throw trial_error(rows, error);
        streams_.free_cache();
        note_memory_ran_out(static_cast<std::size_t>(rows));
      }
    }
  }
}

void BatchRunner::run_trial(const torch::Tensor& row, bool with_lengths, std::int64_t batch_size) {
  auto shape = row.sizes().vec();
  shape.insert(shape.begin(), batch_size);
  torch::Tensor input = streams_.host_tensor(shape, row.scalar_type());
  input.copy_(row.unsqueeze(0).expand(shape));
  const torch::Tensor lengths = with_lengths ? torch::full({batch_size}, row.size(-1), torch::kLong) : torch::Tensor();

  const Item nothing;
  const std::any no_extra;
  const auto rows = static_cast<std::size_t>(batch_size);
  const Uploaded uploaded = streams_.upload(input, lengths, {});
  streams_.await(uploaded);
  Batch batch;
  batch.input = uploaded.input;
  batch.lengths = uploaded.lengths;
  batch.host_lengths = lengths;
  batch.items.assign(rows, &nothing);
  batch.extra.assign(rows, &no_extra);
  batch.ok.assign(rows, true);
  Outputs outputs;
  work_.run(batch, outputs);
  if (known_) {
    match(columns_, outputs, batch_size);
  } else {
    columns_ = columns_of(outputs, batch_size);
    known_ = true;
  }
  to_host(outputs, 0, rows);
  streams_.finish(streams_.record());
}

// --- batches -----------------------------------------------------------------------------------------------------------------

RanBatch BatchRunner::run(std::unique_ptr<LoadedBatch> batch, Uploaded uploaded) {
  RanBatch ran;
  ran.begin = std::chrono::steady_clock::now();
  ran.batch = std::move(batch);
  ran.uploaded = std::move(uploaded);
  streams_.await(ran.uploaded);
  const std::size_t rows = ran.batch->rows(), piece = static_cast<std::size_t>(micro_.rows());
  ran_out_ = false;
  for (std::size_t begin = 0; begin < rows; begin += piece) run_rows(ran, begin, std::min(rows, begin + piece));
  if (ran_out_)
    note_memory_ran_out(piece);
  else
    micro_.note_good_step();
  ran.done = streams_.record();
  return ran;
}

/// Halves once per batch: a single item that needs much memory must not make all later pieces tiny.
void BatchRunner::note_memory_ran_out(std::size_t before) {
  micro_.halve(static_cast<std::int64_t>(before));
  micro_.agree(micro_.rows());
  if (static_cast<std::size_t>(micro_.rows()) < before)
    warn_(fmt::format("out of memory with {} rows: batches go through the network {} rows at a time for a while", before,
                      micro_.rows()));
}

void BatchRunner::run_rows(RanBatch& ran, std::size_t begin, std::size_t end) {
  LoadedBatch& batch = *ran.batch;
  const auto first = batch.errors.begin() + static_cast<std::ptrdiff_t>(begin);
  const auto last = batch.errors.begin() + static_cast<std::ptrdiff_t>(end);
  if (std::none_of(first, last, [](const std::string& error) { return error.empty(); })) return;

  std::string reason;
  Cause cause = Cause::item;
  try {
    attempt(ran, begin, end);
    return;
  } catch (const SchemaError& error) {
    fail_rows(batch, begin, end, error.what());
    return;
  } catch (const std::exception& error) {
    const wire::DeviceTrouble trouble = device_trouble(error);
    if (trouble == wire::DeviceTrouble::hardware || (trouble == wire::DeviceTrouble::context && !streams_.works())) throw;
    reason = reason_of(error);
    cause = cause_of(error);
    if (is_out_of_memory(error)) {
      reason = "does not fit into memory even alone: " + reason;
      streams_.free_cache();
      ran_out_ = true;
    }
  } catch (...) {
    reason = "the job threw an unknown exception";
  }
  if (end - begin == 1) {
    fail_rows(batch, begin, end, reason, cause);
    return;
  }
  const std::size_t middle = begin + (end - begin) / 2;
  run_rows(ran, begin, middle);
  run_rows(ran, middle, end);
}

void BatchRunner::attempt(RanBatch& ran, std::size_t begin, std::size_t end) {
  const auto rows = static_cast<std::int64_t>(end - begin);
  faults_.before_rows_of_batch(ran.batch->range.batch, rows);
  Outputs outputs;
  work_.run(view(ran, begin, end), outputs);
  spoil(*ran.batch, begin, outputs);
  if (!known_) {
    columns_ = columns_of(outputs, rows);
    known_ = true;
  }
  ran.pieces.push_back(to_host(outputs, begin, end));
  for (auto& [row, reason] : outputs.failures) {
    if (row < 0 || row >= rows) throw SchemaError(fmt::format("the job failed row {} of a batch of {}", row, rows));
    std::string& error = ran.batch->errors[begin + static_cast<std::size_t>(row)];
    if (error.empty()) error = reason.empty() ? "failed by the job" : std::move(reason);
  }
}

/// --fault nan:item=…
void BatchRunner::spoil(const LoadedBatch& batch, std::size_t begin, Outputs& outputs) const {
  if (!faults_.any("nan")) return;
  for (Outputs::Column& column : outputs.columns)
    for (std::int64_t row = 0; column.fixed.defined() && column.fixed.is_floating_point() && row < column.fixed.size(0); ++row)
      if (faults_.spoils_item(batch.range.items[begin + static_cast<std::size_t>(row)].index))
        column.fixed[row].fill_(std::numeric_limits<double>::quiet_NaN());
}

Batch BatchRunner::view(const RanBatch& ran, std::size_t begin, std::size_t end) const {
  const LoadedBatch& loaded = *ran.batch;
  const bool whole = begin == 0 && end == loaded.rows();
  const auto part = [&](const torch::Tensor& tensor) {
    return whole || !tensor.defined()
               ? tensor
               : tensor.narrow(0, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end - begin));
  };
  Batch batch;
  batch.input = part(ran.uploaded.input);
  batch.lengths = part(ran.uploaded.lengths);
  batch.host_lengths = part(loaded.lengths);
  batch.items.reserve(end - begin);
  batch.extra.reserve(end - begin);
  batch.ok.reserve(end - begin);
  for (std::size_t row = begin; row < end; ++row) {
    batch.items.push_back(&loaded.range.items[row]);
    batch.extra.push_back(&loaded.samples[row].extra);
    batch.ok.push_back(loaded.ok(row));
  }
  return batch;
}

namespace {

std::vector<Piece> pieces_of(const std::vector<Piece>& pieces, std::size_t from, std::size_t to) {
  std::vector<Piece> parts;
  for (const Piece& piece : pieces) {
    const std::size_t begin = std::max(piece.begin, from), end = std::min(piece.end, to);
    if (begin >= end) continue;
    const auto skipped = static_cast<std::ptrdiff_t>(begin - piece.begin), rows = static_cast<std::ptrdiff_t>(end - begin);
    Piece part{begin - from, end - from, {}};
    for (const Piece::Column& column : piece.columns) {
      Piece::Column& mine = part.columns.emplace_back();
      if (column.fixed.defined()) mine.fixed = column.fixed.narrow(0, skipped, rows);
      if (!column.ragged.empty()) mine.ragged.assign(column.ragged.begin() + skipped, column.ragged.begin() + skipped + rows);
      if (!column.text.empty()) mine.text.assign(column.text.begin() + skipped, column.text.begin() + skipped + rows);
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

} // namespace

RanBatch rows_of(const RanBatch& ran, std::size_t begin, std::size_t end) {
  const LoadedBatch& batch = *ran.batch;
  RanBatch part;
  part.batch = std::make_unique<LoadedBatch>();
  part.batch->range.batch = batch.range.batch;
  part.batch->range.first = batch.range.first + begin;
  part.batch->range.attempt = batch.range.attempt;
  const auto copy_rows = [&](const auto& from, auto& to) {
    to.assign(from.begin() + static_cast<std::ptrdiff_t>(begin), from.begin() + static_cast<std::ptrdiff_t>(end));
  };
  part.batch->range.items.resize(end - begin); // only their number is used
  copy_rows(batch.errors, part.batch->errors);
  copy_rows(batch.causes, part.batch->causes);
  copy_rows(batch.seconds, part.batch->seconds);
  part.pieces = pieces_of(ran.pieces, begin, end);
  return part;
}

void keep_wanted(RanBatch& ran) {
  LoadedBatch& batch = *ran.batch;
  wire::BatchRange& range = batch.range;
  if (range.wanted_rows == 0) return;
  const std::size_t from = range.wanted_begin, to = std::min<std::size_t>(from + range.wanted_rows, batch.rows());
  const auto keep = [&](auto& rows) {
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(to), rows.begin() + static_cast<std::ptrdiff_t>(batch.errors.size()));
    rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(from));
  };
  keep(range.items);
  keep(batch.seconds);
  keep(batch.causes);
  keep(batch.errors); // last: its size is the number of rows
  range.first += from;
  range.wanted_begin = range.wanted_rows = 0;
  ran.pieces = pieces_of(ran.pieces, from, to);
}

std::vector<torch::Tensor> BatchRunner::rows_to_host(const std::vector<torch::Tensor>& rows) {
  std::vector<torch::Tensor> host;
  if (!streams_.overlaps() || rows.empty()) {
    for (const torch::Tensor& row : rows) host.push_back(streams_.fetch(row));
    return host;
  }
  // One copy instead of one per row.
  const torch::Tensor whole = streams_.fetch(torch::cat(rows));
  std::int64_t begin = 0;
  for (const torch::Tensor& row : rows) {
    host.push_back(whole.narrow(0, begin, row.size(0)));
    begin += row.size(0);
  }
  return host;
}

Piece BatchRunner::to_host(Outputs& outputs, std::size_t begin, std::size_t end) {
  Piece piece{begin, end, {}};
  for (const std::size_t place : match(columns_, outputs, static_cast<std::int64_t>(end - begin))) {
    Outputs::Column& column = outputs.columns[place];
    Piece::Column host;
    if (column.fixed.defined()) host.fixed = streams_.fetch(column.fixed);
    host.ragged = rows_to_host(column.ragged);
    host.text = std::move(column.text);
    piece.columns.push_back(std::move(host));
  }
  return piece;
}

} // namespace mgpu::worker
