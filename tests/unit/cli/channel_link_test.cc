#include "cli/channel_link.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace repl::cli {
namespace {

TEST(ChannelLink, TellsOfTheEndThoughNobodyIsToBeWoken) {
  transport::ChannelPair pair = transport::make_memory_pair(false);
  auto link = std::make_shared<ChannelLink>(pair.left, "peer");
  std::atomic<int> woken = 0;
  link->on_ready([&] { ++woken; });
  link->on_ready({});
  std::thread waits([&] { link->wait_closed(); });
  link->close("done");
  waits.join();
  EXPECT_EQ(woken, 0);
}

TEST(ChannelLink, LeavesNothingBehindOnItsChannel) {
  transport::ChannelPair pair = transport::make_memory_pair(false);
  std::atomic<int> woken = 0;
  {
    ChannelLink link(pair.left, "peer");
    link.on_ready([&] { ++woken; });
  }
  pair.right->close("done");
  EXPECT_EQ(woken, 0);
}

}  // namespace
}  // namespace repl::cli
