#include "common/wire/channel.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

namespace mgpu::wire {
namespace {

struct Pair {
  Pair() : Pair(Channel::make_pair()) {}
  explicit Pair(std::pair<int, int> ends) : near(ends.first), far(ends.second) {}
  Channel near, far;
};

std::vector<std::pair<Type, std::string>> receive_all(Channel& channel, std::size_t count) {
  std::vector<std::pair<Type, std::string>> frames;
  while (frames.size() < count && !channel.closed()) {
    channel.wait(std::chrono::seconds(5));
    channel.receive([&](Type type, View bytes) {
      frames.emplace_back(type, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    });
  }
  return frames;
}

View view_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

TEST(Channel, CarriesFramesInOrder) {
  Pair pair;
  for (int number = 0; number < 1000; ++number) pair.near.post(Type::log, view_of(std::to_string(number)));
  pair.near.post(Type::finish);
  std::thread sender([&] {
    while (!pair.near.flush()) pair.near.wait(std::chrono::milliseconds(10));
  });
  const auto frames = receive_all(pair.far, 1001);
  sender.join();
  ASSERT_EQ(frames.size(), 1001U);
  for (int number = 0; number < 1000; ++number)
    EXPECT_EQ(frames[static_cast<std::size_t>(number)].second, std::to_string(number));
  EXPECT_EQ(frames.back().first, Type::finish);
}

TEST(Channel, CarriesFramesLargerThanAnyBuffer) {
  Pair pair;
  std::string large(20'000'000, 'x');
  large.back() = 'y';
  std::thread sender([&] { pair.near.send(Type::results, view_of(large)); });
  const auto frames = receive_all(pair.far, 1);
  sender.join();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].second, large);
}

TEST(Channel, SeesThePeerGo) {
  const auto [near_fd, far_fd] = Channel::make_pair();
  Channel near(near_fd);
  close(far_fd);
  EXPECT_EQ(near.receive([](Type, View) { FAIL() << "nothing was sent"; }), 0U);
  EXPECT_TRUE(near.closed());
}

TEST(Channel, SendToADeadPeerEnds) {
  const auto [near_fd, far_fd] = Channel::make_pair();
  Channel near(near_fd);
  close(far_fd);
  near.send(Type::log, view_of("gone")); // must neither hang nor raise SIGPIPE
  SUCCEED();
}

TEST(Channel, RefusesForeignBytes) {
  const auto [near_fd, far_fd] = Channel::make_pair();
  Channel near(near_fd);
  const std::string noise(64, 'z');
  ASSERT_EQ(::send(far_fd, noise.data(), noise.size(), 0), 64);
  EXPECT_THROW(near.receive([](Type, View) {}), Error);
  close(far_fd);
}

} // namespace
} // namespace mgpu::wire
