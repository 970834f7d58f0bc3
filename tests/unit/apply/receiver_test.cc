// What a hostile or confused primary may say: the connection ends, nothing is published.
#include "engine/apply/receiver.h"

#include <algorithm>

#include "tests/support/apply_tree.h"

namespace repl::apply::testing {
namespace {

class Hostile : public ::testing::Test {
 protected:
  Hostile() : volume_("tmpfs", 16), tree_(volume_) {
    receiver_ = std::make_unique<Receiver>(
        *tree_.applier, *tree_.index, log_,
        ReceiverActions{
            .send = [this](Message message, bool) { sent_.push_back(std::move(message)); },
            .store_position = [](const Position&) {},
            .rolling_signature = [](int, uint64_t) -> Result<std::string> { return "rolling"; }});
    receiver_->start(Epoch{3}, reign_,
                     Position{.epoch = Epoch{3}, .reign = reign_, .cut = CutNumber{10}});
  }
  CutBegin begin(uint64_t cut = 11) {
    return {.epoch = Epoch{3}, .reign = reign_, .cut = CutNumber{cut}};
  }
  void expect_broken(const std::vector<Message>& messages) {
    receiver_->start(Epoch{3}, reign_,
                     Position{.epoch = Epoch{3}, .reign = reign_, .cut = CutNumber{10}});
    Status status;
    size_t at = 0;
    for (; status && at < messages.size(); ++at) status = receiver_->on_message(messages[at]);
    ASSERT_FALSE(status);
    EXPECT_EQ(at, messages.size()) << "only the last message is wrong: " << status.error().message;
    EXPECT_EQ(status.error().code, ErrorCode::protocol);
    EXPECT_TRUE(fs::is_empty(tree_.root()));
  }
  static Records records(std::vector<Record> list) { return Records{std::move(list)}; }
  Volume volume_;
  Tree tree_;
  NullLog log_;
  Reign reign_{Bits128{5, 6}};
  std::vector<Message> sent_;
  std::unique_ptr<Receiver> receiver_;
};

TEST_F(Hostile, OrderAndShape) {
  const StageId stage{Bits128{1, 1}};
  expect_broken({records({file(root_dir, "x", "x")})});
  expect_broken({CutEnd{.cut = CutNumber{11}}});
  expect_broken({begin(), begin()});
  expect_broken({begin(9)});
  expect_broken({CutBegin{.epoch = Epoch{2}, .reign = reign_, .cut = CutNumber{11}}});
  expect_broken({CutBegin{.epoch = Epoch{3}, .reign = Reign{Bits128{9, 9}}, .cut = CutNumber{11}}});
  expect_broken(
      {begin(), records({file(root_dir, "x", "x")}), CutEnd{.cut = CutNumber{11}, .records = 2}});
  expect_broken({begin(), records({Remove{.key = root_key}})});
  expect_broken({begin(), records({Put{.key = root_key, .attr = file_attr(0)}})});
  for (const std::string& name : {std::string(".."), std::string("a/b"), std::string("."),
                                  std::string(), std::string("a\0b", 3), std::string(256, 'n')}) {
    expect_broken({begin(), records({file(root_dir, name, "x")})});
    expect_broken({begin(), records({Remove{.key = {root_dir, name}}})});
  }
  expect_broken({begin(), records({file(root_dir, "x", "x"), file(root_dir, "x", "y")})});
  expect_broken({begin(), records({dir(root_dir, "x", 1)})});
  expect_broken({begin(), records({dir(root_dir, "x", UINT64_MAX)})});
  expect_broken({begin(), records({dir(root_dir, "x", 50), dir(root_dir, "y", 50)})});
  expect_broken({begin(), records({with(file(root_dir, "x", "x"), ContentLink{{root_dir, "y"}})})});
  expect_broken({StageData{.stage = stage, .bytes = "x"}});
  expect_broken({StageBegin{.stage = stage}, StageData{.stage = stage, .offset = 1, .bytes = "x"}});
  expect_broken({StageBegin{.stage = stage}, StageBegin{.stage = stage}});
  expect_broken({StageBegin{.stage = stage}, StageHole{.stage = stage, .length = UINT64_MAX}});
  expect_broken({StageBegin{.stage = stage}, StageCopy{.stage = stage, .length = 1}});
  expect_broken({StageBegin{.stage = stage}, StageEnd{.stage = stage, .size = 4}});
  expect_broken({begin(), records({with(file(root_dir, "x", "x"), ContentStaged{stage})}),
                 CutEnd{.cut = CutNumber{11}, .records = 1}});
  expect_broken({Hello{}});
}

TEST_F(Hostile, CyclesOfDirectories) {
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(receiver_->on_message(records({dir(root_dir, "a", 50), dir(DirId{50}, "b", 51)})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 2}));
  ASSERT_TRUE(receiver_->on_message(begin(12)));
  ASSERT_TRUE(receiver_->on_message(records({dir(DirId{51}, "a", 50)})));
  const Status status = receiver_->on_message(CutEnd{.cut = CutNumber{12}, .records = 1});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::protocol);
  EXPECT_TRUE(fs::is_directory(tree_.root() + "/a/b"));
}

// The primary's picture of the replica may be older than the replica: it is asked to send the keys
// again, the rest of the cut is applied.
TEST_F(Hostile, ARecordBelowAnUnknownDirectoryIsAskedForAgain) {
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(receiver_->on_message(
      records({dir(DirId{77}, "d", 78), file(DirId{78}, "below", "x"), file(root_dir, "f", "y")})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 3}));
  EXPECT_TRUE(fs::exists(tree_.root() + "/f"));
  EXPECT_EQ(tree_.applier->holds().size(), 0u);
  ASSERT_EQ(sent_.size(), 4u);
  for (const size_t n : {1, 2}) {
    EXPECT_FALSE(std::get<Refused>(sent_[n]).hold);
    EXPECT_EQ(std::get<Refused>(sent_[n]).key.name, n == 1 ? "d" : "below");
  }
}

TEST_F(Hostile, AcksAndAnswers) {
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(
      receiver_->on_message(records({dir(root_dir, "a", 50), file(DirId{50}, "f", "bytes")})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 2}));
  auto work = receiver_->take_sync_work();
  ASSERT_TRUE(work);
  const Status synced = SyncWork::run(*work, *tree_.index);
  ASSERT_TRUE(synced);
  receiver_->on_synced(std::move(*work), synced);
  ASSERT_EQ(sent_.size(), 3u);
  EXPECT_EQ(std::get<Ack>(sent_[0]).level, AckLevel::received);
  EXPECT_EQ(std::get<Ack>(sent_[1]).level, AckLevel::applied);
  EXPECT_EQ(std::get<Ack>(sent_[1]).content, tree_.index->root_content());
  EXPECT_EQ(std::get<Ack>(sent_[2]).level, AckLevel::durable);
  ASSERT_TRUE(receiver_->on_message(ListDirectories{{DirId{50}, DirId{99}}}));
  EXPECT_EQ(std::get<DirectoryListing>(sent_[3]).children.at(0).name, "f");
  EXPECT_FALSE(std::get<DirectoryListing>(sent_[4]).known);
  ASSERT_TRUE(receiver_->on_message(SignatureRequest{
      .key = {DirId{50}, "f"}, .content = digest_of("bytes"), .kind = SignatureKind::rolling}));
  EXPECT_EQ(std::get<Signature>(sent_[5]).bytes, "rolling");
}

// The primary would take a table of a terabyte for an attack.
TEST_F(Hostile, ATableThatIsTooLongIsNotAvailable) {
  const Key key{root_dir, "f"};
  Entry entry{.attr = file_attr(1ULL << 40)};
  entry.attr.content = digest_of("unknown");
  ASSERT_TRUE(tree_.index->put(key, entry));
  std::ofstream(tree_.root() + "/f").close();
  fs::resize_file(tree_.root() + "/f", entry.attr.size);
  ASSERT_TRUE(receiver_->on_message(SignatureRequest{.key = key, .content = entry.attr.content}));
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_FALSE(std::get<Signature>(sent_[0]).content.is_set());
  EXPECT_TRUE(std::get<Signature>(sent_[0]).last);
}

// A file that somebody made here: it stays until a person approves, and is kept then.
TEST_F(Hostile, AnApprovedRemovalOfWhatWasMadeHereKeepsIt) {
  const Key key{root_dir, "mine"};
  std::ofstream(tree_.root() + "/mine") << "precious";
  tree_.applier->holds().set(Hold{.key = key, .reason = "made here", .wants_removal = true});
  const auto remove_it = [&](uint64_t cut) {
    ASSERT_TRUE(receiver_->on_message(begin(cut)));
    ASSERT_TRUE(receiver_->on_message(records({Remove{.key = key}})));
    ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{cut}, .records = 1}));
  };
  remove_it(11);
  EXPECT_TRUE(fs::exists(tree_.root() + "/mine"));
  EXPECT_EQ(tree_.applier->holds().size(), 1u);
  ASSERT_TRUE(receiver_->approve(key));
  remove_it(12);
  EXPECT_FALSE(fs::exists(tree_.root() + "/mine"));
  EXPECT_EQ(tree_.applier->holds().size(), 0u);
  EXPECT_EQ(std::distance(fs::directory_iterator(volume_.mount() + "/staging/kept"), {}), 1);
}

// What is held below a directory that goes is held no more, on disk neither.
TEST_F(Hostile, AHoldBelowARemovedDirectoryEnds) {
  const auto cut = [&](uint64_t number, const std::vector<Record>& list) {
    ASSERT_TRUE(receiver_->on_message(begin(number)));
    ASSERT_TRUE(receiver_->on_message(records(list)));
    ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{number}, .records = list.size()}));
  };
  cut(11, {dir(root_dir, "a", 50), dir(DirId{50}, "b", 51), file(DirId{51}, "f", "one")});
  tree_.applier->holds().set(
      Hold{.key = {DirId{51}, "mine"}, .reason = "made here", .wants_removal = true});
  Hold below{.key = {DirId{51}, "d"}, .reason = "held"};
  below.wanted.type = FileType::directory;
  below.wanted.dir = DirId{60};
  tree_.applier->holds().set(below);
  tree_.applier->holds().set(Hold{.key = {DirId{60}, "deep"}, .reason = "its directory is held"});
  cut(12, {file(root_dir, "other", "x")});
  EXPECT_EQ(tree_.applier->holds().size(), 3u);
  cut(13, {Remove{.key = {root_dir, "a"}}});
  EXPECT_EQ(tree_.applier->holds().size(), 0u);
  tree_.sync();
  EXPECT_EQ(Holds(*tree_.index).size(), 0u);
}

// The primary's ids take the place of ours: what is held goes on being held under them.
TEST_F(Hostile, HoldsKeepTheirPlaceWhenIdsAreAdopted) {
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(receiver_->on_message(records({dir(root_dir, "a", 50), dir(root_dir, "b", 51)})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 2}));
  const Hold a{.key = {DirId{50}, "x"}, .reason = "made here", .wants_removal = true};
  const Hold b{.key = {DirId{51}, "y"}, .reason = "made here", .wants_removal = true};
  tree_.applier->holds().set(a);
  tree_.applier->holds().set(b);
  const auto adopt = [&](const std::string& name, uint64_t id) {
    AdoptIds message;
    message.items.push_back({.key = {root_dir, name}, .dir = DirId{id}, .link = {}});
    ASSERT_TRUE(receiver_->on_message(message));
  };
  adopt("a", 51);  // an exchange
  EXPECT_TRUE(tree_.applier->holds().all().contains(Key{DirId{51}, "x"}));
  EXPECT_TRUE(tree_.applier->holds().all().contains(Key{DirId{50}, "y"}));
  adopt("b", 70);
  EXPECT_TRUE(tree_.applier->holds().all().contains(Key{DirId{70}, "y"}));
  EXPECT_EQ(tree_.applier->holds().size(), 2u);
  ASSERT_TRUE(receiver_->recheck_holds());
  EXPECT_EQ(tree_.applier->holds().size(), 0u) << "nothing is there: nothing is held";
}

// What was refused is not forgotten by a connection that ends before it was sent again.
TEST_F(Hostile, WhatIsOwedIsComparedAfterAReconnect) {
  const auto is_incomplete = [&] { return tree_.index->meta(incomplete_meta).has_value(); };
  const auto cut = [&](uint64_t number, const std::vector<Record>& list, uint64_t settled = 0) {
    ASSERT_TRUE(receiver_->on_message(begin(number)));
    ASSERT_TRUE(receiver_->on_message(records(list)));
    ASSERT_TRUE(receiver_->on_message(
        CutEnd{.cut = CutNumber{number}, .records = list.size(), .settled = settled}));
  };
  cut(11, {with(file(root_dir, "k", "k"), ContentCopy{{root_dir, "nowhere"}})});
  EXPECT_TRUE(is_incomplete());
  cut(12, {file(root_dir, "other", "x")});
  EXPECT_TRUE(is_incomplete()) << "it has not come yet";
  cut(12, {file(root_dir, "k", "k")});
  EXPECT_FALSE(is_incomplete());
  cut(13, {with(file(root_dir, "l", "l"), ContentCopy{{root_dir, "nowhere"}})});
  receiver_->stop();
  EXPECT_TRUE(is_incomplete()) << "the hello says it";
  receiver_->start(Epoch{3}, reign_,
                   Position{.epoch = Epoch{3}, .reign = reign_, .cut = CutNumber{13}});
  cut(13, {});  // the comparison found nothing
  EXPECT_FALSE(is_incomplete());
  cut(14, {with(file(root_dir, "m", "m"), ContentCopy{{root_dir, "nowhere"}})});
  cut(14, {Remove{.key = {root_dir, "m"}}});
  EXPECT_FALSE(is_incomplete()) << "it is gone there";
  cut(15, {dir(root_dir, "a", 50), file(DirId{77}, "unknown", "x")});
  cut(16, {with(file(DirId{50}, "n", "n"), ContentCopy{{root_dir, "nowhere"}})});
  cut(17, {Remove{.key = {root_dir, "a"}}});
  EXPECT_TRUE(is_incomplete()) << "what lies below a directory that is not known yet";
  cut(17, {dir(root_dir, "b", 77), file(DirId{77}, "unknown", "x")}, 2);
  EXPECT_TRUE(is_incomplete()) << "there was a third refusal";
  cut(18, {}, 3);
  EXPECT_FALSE(is_incomplete()) << "the primary says that nothing is missing";
}

// A hello may tell of a stage that a cut on its way takes: the content is asked for again, whole.
TEST_F(Hostile, AContentThatGoesOnFromWhatIsNotHereIsRefusedAlone) {
  const StageId stage{Bits128{1, 1}};
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(receiver_->on_message(StageBegin{.stage = stage, .resume_at = 5}));
  ASSERT_TRUE(receiver_->on_message(StageData{.stage = stage, .offset = 5, .bytes = "rest"}));
  ASSERT_TRUE(receiver_->on_message(StageEnd{.stage = stage, .size = 9}));
  ASSERT_TRUE(receiver_->on_message(records(
      {with(file(root_dir, "x", "123456789"), ContentStaged{stage}), file(root_dir, "y", "y")})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 2}));
  const auto refused = std::ranges::find_if(
      sent_, [](const Message& m) { return std::holds_alternative<Refused>(m); });
  ASSERT_NE(refused, sent_.end());
  EXPECT_EQ(std::get<Refused>(*refused).key.name, "x");
  EXPECT_FALSE(std::get<Refused>(*refused).hold);
  EXPECT_EQ(tree_.read("y"), "y");
}

// A content whose source changed before it was whole is resumed by nobody.
TEST_F(Hostile, StagesThatNoCutUsedGo) {
  const auto stages = [&] { return tree_.staging->progress()->size(); };
  const StageId interrupted{Bits128{1, 1}};
  const StageId open{Bits128{1, 2}};
  const StageId unused{Bits128{1, 3}};
  ASSERT_TRUE(receiver_->on_message(StageBegin{.stage = interrupted}));
  ASSERT_TRUE(receiver_->on_message(StageData{.stage = interrupted, .bytes = "some"}));
  receiver_->stop();
  receiver_->start(Epoch{3}, reign_,
                   Position{.epoch = Epoch{3}, .reign = reign_, .cut = CutNumber{10}});
  ASSERT_TRUE(receiver_->on_message(begin()));
  for (const StageId& id : {open, unused}) {
    ASSERT_TRUE(receiver_->on_message(StageBegin{.stage = id}));
    ASSERT_TRUE(receiver_->on_message(StageData{.stage = id, .bytes = "more"}));
  }
  ASSERT_TRUE(
      receiver_->on_message(StageEnd{.stage = unused, .size = 4, .digest = digest_of("more")}));
  EXPECT_EQ(stages(), 3u);
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .last = false}));
  EXPECT_EQ(stages(), 3u) << "the cut goes on";
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}}));
  ASSERT_EQ(stages(), 1u);
  EXPECT_EQ(tree_.staging->progress()->front().stage, open);
  tree_.sync();
  EXPECT_TRUE(fs::is_empty(volume_.mount() + "/staging/old"));
}

// Contents that are staged across cuts: until the primary says that nothing is under way any more,
// this node is not at a whole cut, and what is staged stays, also what another connection brought.
TEST_F(Hostile, ALooseCutKeepsWhatIsStaged) {
  const auto is_incomplete = [&] { return tree_.index->meta(incomplete_meta).has_value(); };
  const StageId before{Bits128{1, 1}};
  const StageId stage{Bits128{1, 2}};
  ASSERT_TRUE(receiver_->on_message(StageBegin{.stage = before}));
  ASSERT_TRUE(receiver_->on_message(StageData{.stage = before, .bytes = "some"}));
  receiver_->stop();
  receiver_->start(Epoch{3}, reign_,
                   Position{.epoch = Epoch{3}, .reign = reign_, .cut = CutNumber{10}});
  ASSERT_TRUE(receiver_->on_message(StageBegin{.stage = stage}));
  ASSERT_TRUE(receiver_->on_message(StageData{.stage = stage, .bytes = "large"}));
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(receiver_->on_message(records({file(root_dir, "overtakes", "x")})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 1, .loose = true}));
  EXPECT_EQ(tree_.read("overtakes"), "x");
  EXPECT_TRUE(is_incomplete());
  EXPECT_EQ(tree_.staging->progress()->size(), 2u);
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(
      receiver_->on_message(StageEnd{.stage = stage, .size = 5, .digest = digest_of("large")}));
  ASSERT_TRUE(receiver_->on_message(
      records({with(file(root_dir, "large", "large"), ContentStaged{stage})})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 1}));
  EXPECT_EQ(tree_.read("large"), "large");
  EXPECT_FALSE(is_incomplete());
  EXPECT_EQ(tree_.staging->progress()->size(), 0u);
}

// What the status says of the tree is what the last cut said of itself.
TEST_F(Hostile, WhatACutWasIsRemembered) {
  const auto after = [&](CutEnd end) {
    end.cut = CutNumber{11};
    EXPECT_TRUE(receiver_->on_message(begin()));
    EXPECT_TRUE(receiver_->on_message(end));
    return tree_.index->meta(consistency_meta).value_or("exact");
  };
  EXPECT_EQ(after(CutEnd{}), "exact");
  EXPECT_EQ(after(CutEnd{.ordered = false}), "unordered");
  EXPECT_EQ(after(CutEnd{.ordered = false, .loose = true}), "unordered");
  EXPECT_EQ(after(CutEnd{.loose = true}), "loose");
  EXPECT_EQ(after(CutEnd{}), "exact");
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(receiver_->on_message(
      records({with(file(root_dir, "k", "k"), ContentCopy{{root_dir, "nowhere"}})})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 1}));
  EXPECT_EQ(tree_.index->meta(consistency_meta), "partial") << "a key is still to come";
}

// A message holds so many; the largest are worth most.
TEST_F(Hostile, AsManyStagesAreToldAsAMessageHolds) {
  for (size_t n = 0; n < limits::records_per_message_max + 10; ++n) {
    const StageId id{Bits128{9, n}};
    const std::string name = to_hex(id);
    std::ofstream(fmt::format("{}/staging/stage/{}/{}", volume_.mount(), n % spread_dirs, name))
        << std::string(n == 5 ? 20 : 1 + n % 3, 'x');
  }
  const auto told = tree_.staging->progress();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->size(), limits::records_per_message_max);
  EXPECT_EQ(told->front().bytes, 20u);
  EXPECT_TRUE(std::ranges::is_sorted(*told, std::greater<>(), &StageProgress::bytes));
}

TEST_F(Hostile, SoManyContentsAtOnce) {
  const auto id = [](uint64_t n) { return StageId{Bits128{3, n}}; };
  const Digest wrong{Bits128{1, 1}};
  const auto take = [&](const Message& message) {
    const Status done = receiver_->on_message(message);
    ASSERT_TRUE(done) << done.error().message;
  };
  for (uint64_t n = 1; n <= limits::stages_open_max; ++n) take(StageBegin{.stage = id(n)});
  // Those that ended do not count, however they did.
  take(StageEnd{.stage = id(1), .digest = digest_of("")});
  take(StageEnd{.stage = id(2), .digest = wrong});
  take(StageAbort{.stage = id(3)});
  for (const uint64_t n : {1, 2, 3}) take(StageBegin{.stage = id(n)});
  const Status one_more = receiver_->on_message(StageBegin{.stage = id(1000)});
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code, ErrorCode::protocol);
  // With the connection all of them end.
  receiver_->stop();
  receiver_->start(Epoch{3}, reign_,
                   Position{.epoch = Epoch{3}, .reign = reign_, .cut = CutNumber{10}});
  for (uint64_t n = 1; n <= limits::stages_open_max; ++n) take(StageBegin{.stage = id(n)});
}

// Holes cost nothing but hashes: those of more than is kept are not collected.
TEST_F(Hostile, HolesWithoutEndCostNoMemoryWithoutEnd) {
  std::vector<StageId> ids;
  for (uint64_t n = 1; n <= 6; ++n) ids.push_back(StageId{Bits128{2, n}});
  for (const StageId& id : ids) {
    ASSERT_TRUE(receiver_->on_message(StageBegin{.stage = id}));
    const Status done =
        receiver_->on_message(StageHole{.stage = id, .length = limits::content_bytes_max / 4});
    ASSERT_TRUE(done) << done.error().message;
  }
  EXPECT_LE(tree_.applier->contents().blocks_kept(), limits::staged_blocks_max);
}

// "The whole cut has arrived and is checked", once.
TEST_F(Hostile, ReceivedIsSaidOfAWholeCutOnly) {
  const auto received = [&] {
    return std::ranges::count_if(sent_, [](const Message& message) {
      const Ack* ack = std::get_if<Ack>(&message);
      return ack != nullptr && ack->level == AckLevel::received;
    });
  };
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(receiver_->on_message(records({file(root_dir, "x", "x")})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 1, .last = false}));
  EXPECT_EQ(received(), 0);
  ASSERT_TRUE(receiver_->on_message(begin()));
  ASSERT_TRUE(receiver_->on_message(records({file(root_dir, "y", "y")})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{11}, .records = 1}));
  EXPECT_EQ(received(), 1);
  ASSERT_TRUE(receiver_->on_message(begin(12)));
  EXPECT_FALSE(receiver_->on_message(CutEnd{.cut = CutNumber{12}, .records = 7}));
  EXPECT_EQ(received(), 1) << "a record is missing";
}

// What was refused, or differed in a comparison, goes under the number of the cut that is durable
// already.
TEST_F(Hostile, TheDurableCutMayComeAgain) {
  ASSERT_TRUE(receiver_->on_message(begin(10)));
  ASSERT_TRUE(receiver_->on_message(records({file(root_dir, "again", "x")})));
  ASSERT_TRUE(receiver_->on_message(CutEnd{.cut = CutNumber{10}, .records = 1}));
  EXPECT_TRUE(fs::exists(tree_.root() + "/again"));
}

}  // namespace
}  // namespace repl::apply::testing
