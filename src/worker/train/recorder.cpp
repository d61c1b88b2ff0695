#include "worker/train/recorder.hpp"

namespace mgpu::worker::train {

namespace {

/// On a CPU a replay runs the pass itself.
class PlainRecorder final : public Recorder {
 public:
  void warm_up(const std::function<void()>& pass) override { pass(); }
  std::unique_ptr<Recording> record(std::function<void()> pass) override {
    return std::make_unique<Plain>(*this, std::move(pass));
  }
  void milestone() override { (*reached_)(milestones_++); }

 private:
  class Plain final : public Recording {
   public:
    Plain(PlainRecorder& recorder, std::function<void()> pass) : recorder_(recorder), pass_(std::move(pass)) {}
    void replay(const std::function<void(std::size_t)>& reached) override {
      recorder_.reached_ = &reached;
      recorder_.milestones_ = 0;
      pass_();
    }

   private:
    PlainRecorder& recorder_;
    std::function<void()> pass_;
  };

  const std::function<void(std::size_t)>* reached_ = nullptr; ///< of the current replay
  std::size_t milestones_ = 0;
};

} // namespace

std::unique_ptr<Recorder> Recorder::open(torch::Device device) {
  if (device.is_cuda()) return open_cuda_recorder(device);
  return std::make_unique<PlainRecorder>();
}

} // namespace mgpu::worker::train
