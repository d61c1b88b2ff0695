// What a worker does so that one bad item costs no other: parts of batches, notes of what it is at, smaller pieces.
#include <gmock/gmock.h>

#include "worker/run/fake_work.hpp"
#include "worker/run/rig.hpp"

namespace mgpu::worker {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(Worker, OfACutBatchOnlyTheWantedRowsComeBack) {
  std::vector<std::int64_t> shapes;
  class ShapeWork : public FakeWork {
   public:
    explicit ShapeWork(std::vector<std::int64_t>& shapes) : shapes_(shapes) {}
    void run(const Batch& batch, Outputs& outputs) override {
      shapes_.push_back(batch.size());
      FakeWork::run(batch, outputs);
    }

   private:
    std::vector<std::int64_t>& shapes_;
  };
  Rig rig([&] { return std::make_unique<ShapeWork>(shapes); });
  rig.configure(rig.configuration(6));
  rig.grant(1, 6, {"prepare-fails", "good", "good", "prepare-fails", "good", "run-fails"}, 1, 3);
  rig.grant(1, 6, {"prepare-fails", "good", "good", "good", "good", "good"}, 5, 1);
  rig.finish();
  rig.receive_all();
  ASSERT_EQ(rig.results.size(), 2u);
  const auto part = rig.results[0].view();
  EXPECT_EQ(part.first, 7u);
  ASSERT_EQ(part.rows(), 3u);
  EXPECT_THAT(std::vector<int>(part.status.begin(), part.status.end()), ElementsAre(1, 1, 2));
  EXPECT_THAT(rig.results[0].errors(), ElementsAre(Pair(2, "cannot be read")));
  EXPECT_EQ(rig.results[0].values<float>(0)[2], 16.0f) << "of item 8";
  EXPECT_EQ(part.columns[1].counts[1], 8u % 3);
  const auto last = rig.results[1].view();
  EXPECT_EQ(last.first, 11u);
  ASSERT_EQ(last.rows(), 1u);
  EXPECT_EQ(rig.results[1].values<float>(0)[0], 22.0f);
  EXPECT_THAT(shapes, ElementsAre(6, 6, 6)) << "the trial, and both parts: always the shape of the whole batch";
}

TEST(Worker, NotesWhatItIsAt) {
  Rig rig(make_fake);
  rig.configure(rig.configuration(2, 1));
  rig.grant(3, 6, {"good", "very slow"});
  EXPECT_TRUE(rig.receive_until([&] {
    const auto activities = rig.activity_table().read();
    return activities.size() == 1 && activities[0].doing == wire::Doing::preparing && activities[0].batch == 3 &&
           activities[0].first == 7 && activities[0].rows == 1;
  }));
  EXPECT_GT(rig.activity_table().pulse(), 0u);
  rig.finish();
  rig.receive_all();
  EXPECT_TRUE(rig.activity_table().read().empty());
}

TEST(Worker, OutOfMemoryHalvesToo) {
  Rig rig(make_fake);
  rig.configure(rig.configuration(8));
  std::vector<std::string> names = paths(8);
  names[5] = "oom";
  rig.grant(0, 0, names);
  ASSERT_TRUE(rig.receive_results(1));
  EXPECT_TRUE(rig.results[0].errors().empty());
  EXPECT_EQ(rig.results[0].values<float>(0)[10], 10.0f);
}

TEST(Worker, TheSizeThatFittedIsKept) {
  auto runs = std::make_shared<std::atomic<int>>(0);
  Rig rig([runs] { return std::make_unique<FakeWork>(runs); });
  rig.configure(rig.configuration(8));
  std::vector<std::string> names = paths(8);
  names[5] = "oom";
  rig.grant(0, 0, names);
  ASSERT_TRUE(rig.receive_results(1));
  const int before = *runs;
  rig.grant(1, 8, paths(8));
  ASSERT_TRUE(rig.receive_results(2));
  EXPECT_EQ(*runs - before, 2) << "twice 4 rows";
  EXPECT_TRUE(rig.results[1].errors().empty());
  EXPECT_EQ(rig.results[1].values<float>(0)[10], 2 * 13.0f);
}

} // namespace
} // namespace mgpu::worker
